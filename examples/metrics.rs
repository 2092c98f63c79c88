//! Request metrics on [`Counters`], scraped into the Prometheus text format by `prometheus-client`.
//!
//! `cargo run --release --no-default-features --example metrics`
//!
//! The hot path adds to a row that only its thread writes. A scrape [takes](Counters::take_all) what came in since the
//! last one and adds it to the exporter's own totals; no request is lost or reported twice, however many run meanwhile.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter as Total;
use prometheus_client::registry::{Registry, Unit};
use shared_term::{Counter, Counters};

/// What is counted: an index into one array, so that a thread's counts lie in one cache line.
#[derive(Clone, Copy)]
enum Http {
    Requests,
    Errors,
    Received,
}

impl Http {
    const ALL: [(Self, &str, &str, Option<Unit>); 3] = [
        (Self::Requests, "http_requests", "Requests handled", None),
        (Self::Errors, "http_errors", "Requests that failed", None),
        (Self::Received, "http_received", "Size of all request bodies", Some(Unit::Bytes)),
    ];
}

/// What a handler keeps: three values that are cheap to clone and need no look at a global.
#[derive(Clone)]
struct Handler {
    requests: Counter,
    errors: Counter,
    received: Counter,
}

impl Handler {
    fn new(http: &Counters) -> Self {
        let [requests, errors, received] =
            [Http::Requests, Http::Errors, Http::Received].map(|which| http.counter(which as usize));
        Self { requests, errors, received }
    }

    fn handle(&self, body: &[u8]) {
        self.requests.inc();
        self.received.add(body.len() as i64);
        if body.is_empty() {
            self.errors.inc();
        }
    }
}

/// The exporter: totals that only a scrape touches.
struct Exporter {
    http: Counters,
    registry: Registry,
    totals: Mutex<Vec<Total>>,
}

impl Exporter {
    fn new(http: Counters) -> Self {
        let mut registry = Registry::default();
        let register = |(_, name, help, unit): (_, &str, &str, Option<Unit>)| {
            let total = Total::default();
            match unit {
                Some(unit) => registry.register_with_unit(name, help, unit, total.clone()),
                None => registry.register(name, help, total.clone()),
            }
            total
        };
        let totals = Http::ALL.map(register).into();
        Self { http, registry, totals: Mutex::new(totals) }
    }

    fn scrape(&self) -> String {
        // One scrape at a time: what it took and what it shows belong together.
        let totals = self.totals.lock().unwrap();
        for (total, since_last) in totals.iter().zip(self.http.take_all()) {
            total.inc_by(u64::try_from(since_last).expect("these counters only grow"));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string");
        text
    }
}

fn main() {
    let http = Counters::new(Http::ALL.len());
    let exporter = Exporter::new(http.clone());
    let handler = Handler::new(&http);

    thread::scope(|scope| {
        for worker in 0..4 {
            let handler = handler.clone();
            scope.spawn(move || {
                for request in 0..100_000 {
                    handler.handle(&[0; 512][..(request + worker) % 10 * 50]);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..5 {
                exporter.scrape();
                thread::sleep(Duration::from_millis(1));
            }
        });
    });

    let text = exporter.scrape();
    print!("{text}");
    assert!(text.contains("http_requests_total 400000\n"));
    assert!(text.contains("http_errors_total 40000\n"));
    assert!(text.contains("http_received_bytes_total 90000000\n"));
    let info = http.info();
    eprintln!("{} bytes: {} counters, {} rows", info.bytes, info.size, info.rows);
}
