//! A rate limiter on [`Atomics`]: one 64-bit cell per client, one compare-exchange per request, no lock and no
//! allocation.
//!
//! `cargo run --release --no-default-features --example rate_limiter`
//!
//! The algorithm is the generic cell rate algorithm, which is a token bucket without a refill: a cell holds the time at
//! which the client's bucket will be full again. Each request moves that time on; a request that would move it further
//! ahead than a burst allows is refused.

use std::hash::{BuildHasher, Hash, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use shared_term::Atomics;
use shared_term::sync::atomic::Ordering::Relaxed;

/// `rate` requests per second for each client, and up to `burst` of them at once.
#[derive(Clone)]
struct RateLimiter {
    /// When a client's bucket is full again, in nanoseconds since `start`. Cloning the limiter clones a handle on
    /// these.
    full_at: Atomics<u64>,
    hasher: RandomState,
    start: Instant,
    /// Nanoseconds that one request costs, and that a burst may run ahead.
    cost: u64,
    ahead: u64,
}

impl RateLimiter {
    /// Clients are hashed onto `cells` cells, so memory stays the same whoever calls; two clients that share a cell
    /// share its rate.
    fn new(cells: usize, rate: u32, burst: u32) -> Self {
        let cost = 1_000_000_000 / u64::from(rate);
        let full_at = Atomics::new(cells);
        Self { full_at, hasher: RandomState::new(), start: Instant::now(), cost, ahead: cost * u64::from(burst) }
    }

    /// May `client` make a request now? If not, after this long.
    fn check(&self, client: &impl Hash) -> Result<(), Duration> {
        self.check_at(client, self.start.elapsed().as_nanos() as u64)
    }

    fn check_at(&self, client: &impl Hash, now: u64) -> Result<(), Duration> {
        let cell = &self.full_at[self.hasher.hash_one(client) as usize % self.full_at.len()];
        // Relaxed: each decision is about this cell alone and guards no other memory.
        let decision = cell.fetch_update(Relaxed, Relaxed, |full_at| {
            let next = full_at.max(now) + self.cost;
            (next <= now + self.ahead).then_some(next)
        });
        match decision {
            Ok(_) => Ok(()),
            Err(full_at) => Err(Duration::from_nanos(full_at + self.cost - self.ahead - now)),
        }
    }
}

fn main() {
    let limiter = RateLimiter::new(1024, 10, 3);

    // On a clock of our own: a burst of three, then one every 100 ms.
    let at = |millis: u64| limiter.check_at(&"alice", millis * 1_000_000);
    assert_eq!([at(0), at(0), at(0)], [Ok(()); 3]);
    assert_eq!(at(0), Err(Duration::from_millis(100)));
    assert_eq!(at(60), Err(Duration::from_millis(40)));
    assert_eq!((at(100), at(100)), (Ok(()), Err(Duration::from_millis(100))));
    assert_eq!([at(5_000), at(5_000), at(5_000)], [Ok(()); 3], "a rest earns a burst, no more");
    assert!(at(5_000).is_err());

    // Many threads ask for one client: it gets its burst, to the request.
    let granted: usize = thread::scope(|scope| {
        let ask = || (0..10_000).filter(|_| limiter.check_at(&"bob", 0).is_ok()).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(granted, 3);

    // And on the real one.
    for n in 1..=5 {
        match limiter.check(&"carol") {
            Ok(()) => println!("request {n}: go on"),
            Err(wait) => println!("request {n}: 429, retry after {} ms", wait.as_millis() + 1),
        }
    }
    println!("{} bytes for any number of clients", limiter.full_at.info().bytes);
}
