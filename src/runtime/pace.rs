//! How quickly a worker gets through its processes, and so whether others steal from it.
//!
//! What is stolen is cold: the process and its slot come from another processor line by line, and what it sends to, spawns
//! or frees goes back the same way. A worker that is through with each of its processes sooner than that has run what waits
//! for it before a thief has it, and a thief only slows it down. So who is quick is left alone, but for once in a while:
//! of processes that go on for long, each of whose turns is short, all workers come to have some that way.
//!
//! How quick a worker is can be seen only while nobody steals from it. While it is not known to be quick it is stolen from,
//! and left alone for a moment to be looked at, seldom if it was found slow before.
//!
//! What waits for a worker is no more than its own queue holds. What is more waits in the common queue, for anybody.

use std::time::{Duration, Instant};

/// Who takes up a process in less than this, one with another, is quick: about what it costs to move one between processors
/// that are not near to each other.
const QUICK: Duration = Duration::from_nanos(192);
/// Who takes longer than this is slow, also while others steal from it.
const SLOW: Duration = Duration::from_micros(2);
/// How long a worker must have been left alone to be found quick or not, and how long to be found slow.
const ALONE: Duration = Duration::from_micros(250);
const GLIMPSE: Duration = Duration::from_micros(20);
/// How long one who is quick is left alone.
const SPARED: Duration = Duration::from_millis(1);
/// How long one who was not found quick may be stolen from, before it is looked at again: from the first to the last time.
const FIRST: Duration = Duration::from_micros(100);
const LAST: Duration = Duration::from_millis(20);

/// What those who steal from a worker know of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// When somebody stole from it last, and how many processes it had taken up then.
    stolen: Instant,
    taken_up: u32,
    is_quick: bool,
    /// When it was found not to be, and how long that holds.
    looked: Instant,
    holds: Duration,
}

impl Pace {
    /// Of a worker that begins to work, and has taken up so many processes before.
    pub(super) fn new(taken_up: u32, now: Instant) -> Self {
        Self { stolen: now, taken_up, is_quick: false, looked: now, holds: FIRST }
    }

    /// Of a worker that has stolen what it works at from this one, and has taken up so many processes before: it is as quick
    /// with what is of the same kind.
    pub(super) fn of_thief(self, taken_up: u32, now: Instant) -> Self {
        Self { stolen: now, taken_up, ..self }
    }

    /// May somebody steal from this worker, which has taken up so many processes? If not: not before so long.
    pub(super) fn ask(&mut self, taken_up: u32, now: Instant) -> Result<(), Duration> {
        let alone = now.saturating_duration_since(self.stolen);
        let each = alone.checked_div(taken_up.wrapping_sub(self.taken_up)).unwrap_or(Duration::MAX);
        if alone >= ALONE {
            let was_quick = std::mem::replace(&mut self.is_quick, each < QUICK);
            if was_quick || alone >= LAST {
                self.holds = FIRST;
            } else if now.saturating_duration_since(self.looked) >= self.holds {
                // What was found last has been made use of, and is found again.
                self.holds = LAST.min(2 * self.holds);
            }
            self.looked = now;
        }
        if self.is_quick {
            return SPARED.checked_sub(alone).filter(|left| !left.is_zero()).map_or(Ok(()), Err);
        }
        let holds = now.saturating_duration_since(self.looked) < self.holds;
        if holds || alone >= GLIMPSE && each > SLOW { Ok(()) } else { Err(ALONE.saturating_sub(alone)) }
    }

    /// Somebody has stolen from it.
    pub(super) fn stolen(&mut self, taken_up: u32, now: Instant) {
        (self.stolen, self.taken_up) = (now, taken_up);
    }
}

#[cfg(test)]
#[allow(clippy::unchecked_time_subtraction, reason = "constants, the larger first")]
mod tests {
    use super::*;

    /// A worker, and a thief who asks.
    struct Asked {
        pace: Pace,
        taken_up: u32,
        now: Instant,
    }

    impl Asked {
        fn new() -> Self {
            let now = Instant::now();
            Self { pace: Pace::new(0, now), taken_up: 0, now }
        }

        /// The worker takes up processes for so long, one each `each`; then somebody asks.
        fn takes_up(&mut self, each: Duration, during: Duration) -> Result<(), Duration> {
            let taken = during.as_nanos() / each.as_nanos();
            self.taken_up = self.taken_up.wrapping_add(u32::try_from(taken).unwrap());
            self.now += during;
            self.pace.ask(self.taken_up, self.now)
        }

        fn stolen(&mut self) {
            self.pace.stolen(self.taken_up, self.now);
        }
    }

    const NS: Duration = Duration::from_nanos(1);
    const US: Duration = Duration::from_micros(1);

    #[test]
    fn who_is_quick_is_left_alone_but_once_in_a_while() {
        let mut asked = Asked::new();
        assert_eq!(asked.takes_up(QUICK - NS, ALONE), Err(SPARED - ALONE));
        assert_eq!(asked.takes_up(QUICK - NS, SPARED - ALONE), Ok(()));
        asked.stolen();
        assert_eq!(asked.takes_up(QUICK * 5, 5 * US), Err(SPARED - 5 * US), "the thief is why");
        assert_eq!(asked.takes_up(QUICK / 2, ALONE), Err(SPARED - ALONE - 5 * US));
        assert_eq!(asked.takes_up(SLOW, SPARED - ALONE - 5 * US), Ok(()), "in a long turn");
    }

    #[test]
    fn who_is_not_is_stolen_from_for_ever_longer_before_it_is_looked_at_again() {
        let mut asked = Asked::new();
        for holds in [2, 4, 8, 16, 32, 64, 128, 200, 200].map(|n| FIRST * n) {
            assert_eq!(asked.takes_up(QUICK * 2, ALONE), Ok(()));
            for _ in 0..holds.as_micros() / 5 - 1 {
                asked.stolen();
                assert_eq!(asked.takes_up(QUICK * 2, 5 * US), Ok(()));
            }
            asked.stolen();
            assert_eq!(asked.takes_up(QUICK * 2, 5 * US), Err(ALONE - 5 * US));
            assert_eq!(asked.takes_up(QUICK * 2, 5 * US), Err(ALONE - 10 * US));
        }
        assert!(asked.takes_up(QUICK / 2, ALONE).is_err());
        // It was quick: from the beginning.
        asked.takes_up(QUICK * 2, SPARED).unwrap();
        asked.stolen();
        assert_eq!(asked.takes_up(QUICK * 2, FIRST - US), Ok(()));
        asked.stolen();
        assert_eq!(asked.takes_up(QUICK * 2, US), Err(ALONE - US));
    }

    #[test]
    fn who_is_slow_beside_thieves_is_slow() {
        let mut asked = Asked::new();
        assert_eq!(asked.takes_up(SLOW, ALONE), Ok(()));
        for _ in 0..100_000 {
            asked.stolen();
            assert_eq!(asked.takes_up(SLOW + NS, GLIMPSE), Ok(()));
        }
        // A short moment says nothing.
        asked.stolen();
        assert_eq!(asked.takes_up(SLOW + NS, GLIMPSE - US), Err(ALONE - GLIMPSE + US));
    }

    #[test]
    fn counts_go_round_and_who_takes_up_nobody_is_slow() {
        let mut asked = Asked::new();
        (asked.taken_up, asked.pace.taken_up) = (u32::MAX - 10, u32::MAX - 10);
        assert!(asked.takes_up(QUICK / 2, ALONE).is_err());
        asked.stolen();
        assert!(asked.takes_up(Duration::from_secs(10), SPARED).is_ok());
    }

    #[test]
    fn a_thief_is_as_quick_as_who_it_has_stolen_from_until_it_is_looked_at() {
        let mut asked = Asked::new();
        assert!(asked.takes_up(QUICK / 2, ALONE).is_err());
        asked.pace = asked.pace.of_thief(asked.taken_up, asked.now);
        assert_eq!(asked.takes_up(QUICK * 2, 5 * US), Err(SPARED - 5 * US));
        assert_eq!(asked.takes_up(QUICK * 2, ALONE - 5 * US), Ok(()));
        asked.pace = asked.pace.of_thief(asked.taken_up, asked.now);
        assert_eq!(asked.takes_up(QUICK / 2, 5 * US), Ok(()));
        // One that has slept since is nobody's thief.
        asked.pace = Pace::new(asked.taken_up, asked.now);
        assert!(asked.takes_up(QUICK / 2, ALONE).is_err());
    }

    #[test]
    fn what_was_found_long_ago_counts_for_little() {
        let mut asked = Asked::new();
        for _ in 0..10 {
            assert_eq!(asked.takes_up(QUICK * 2, ALONE), Ok(()));
            asked.stolen();
            // The last theft of the time for which that holds.
            asked.now += asked.pace.holds - ALONE.min(asked.pace.holds);
            asked.stolen();
        }
        assert_eq!(asked.pace.holds, LAST);
        assert_eq!(asked.takes_up(QUICK * 2, LAST), Ok(()));
        assert_eq!(asked.pace.holds, FIRST);
    }

    #[test]
    fn who_asks_again_and_steals_nothing_finds_nothing_new() {
        let mut asked = Asked::new();
        for _ in 0..10 {
            assert_eq!(asked.takes_up(QUICK * 2, ALONE), Ok(()));
        }
        assert!(asked.pace.holds <= FIRST * 4);
    }
}
