//! One state of the model, packed into a `u128` so that tens of millions of them fit in memory.

/// A set of the two areas. `A` leans on `B`: a pointer in A's memory leads there.
pub(crate) type Areas = u8;
pub(crate) const A: Areas = 1;
pub(crate) const B: Areas = 2;

/// What follows in the life of a process, apart from what its card says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub(crate) enum At {
    /// Nobody runs it.
    #[default]
    Rest,
    /// Claimed by a worker, which has not looked into the mailbox yet.
    Claimed,
    Turn,
    /// Behind a turn and its boundary.
    Between,
    /// Asked, and the mailbox is empty.
    Drained,
    /// Evacuated, and the answer is due.
    Evacuated,
    /// The collector has found it idle and looks at its heap.
    Inspected,
    /// Its card says dead already, and its heap is still there. Only with a fault planted.
    Dying,
}

const PLACES: [At; 8] =
    [At::Rest, At::Claimed, At::Turn, At::Between, At::Drained, At::Evacuated, At::Inspected, At::Dying];

/// The card: one word that is loaded and exchanged whole.
#[allow(clippy::struct_excessive_bools, reason = "each is a bit of the card")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Card {
    pub(crate) note: bool,
    pub(crate) run: bool,
    pub(crate) dead: bool,
    pub(crate) asked: bool,
    pub(crate) filter: Areas,
}

impl Card {
    pub(crate) fn is_idle(self) -> bool {
        !self.note && !self.run && !self.dead
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Process {
    pub(crate) heap: Areas,
    /// The filter of the heap: never less than `heap`, often more.
    pub(crate) noted: Areas,
    /// Messages that were taken out of the mailbox.
    pub(crate) inbox: Areas,
    pub(crate) mailbox: Areas,
    pub(crate) card: Card,
    pub(crate) at: At,
}

/// Who goes online: the workers of the two processes, and a thread outside. `F` is the thread.
pub(crate) const F: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub(crate) enum Seen {
    #[default]
    Offline,
    Old,
    Current,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Actor {
    pub(crate) seen: Seen,
    /// The marks that it has seen. Those set later it may still miss, until its next boundary.
    pub(crate) marks: Areas,
    /// What it has in hand.
    pub(crate) hands: Areas,
    /// Values that it has unpublished, whose reference it still has to drop.
    pub(crate) owed: Areas,
    /// Dropped to zero, and the look at `queued` is due. Only with a fault planted.
    pub(crate) late: Areas,
    /// It has pushed a message and not yet noted the card.
    pub(crate) pushed: bool,
    pub(crate) budget: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub(crate) enum Phase {
    #[default]
    Idle,
    Marked,
    Grace,
    Scan,
    /// The claimed process of this slot of the scan is being looked at.
    Inspect,
    Answers,
    /// Between C4 and C5 where holders are left alone: others may join the batch.
    Spared,
    Free,
}

const PHASES: [Phase; 8] =
    [Phase::Idle, Phase::Marked, Phase::Grace, Phase::Scan, Phase::Inspect, Phase::Answers, Phase::Spared, Phase::Free];

/// What went wrong in a step, where the state alone would not show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub(crate) enum Broken {
    #[default]
    No,
    QueuedTwice,
    AnsweredTwice,
    TouchedLate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct State {
    pub(crate) refs: [u8; 2],
    /// Taken up since the mark.
    pub(crate) moved: Areas,
    pub(crate) retired: Areas,
    pub(crate) queued: Areas,
    pub(crate) pending: Areas,
    pub(crate) batch: Areas,
    /// Areas of the batch that are past C4.
    pub(crate) closed: Areas,
    pub(crate) freed: Areas,
    pub(crate) table: [Areas; 2],
    pub(crate) actors: [Actor; 3],
    pub(crate) processes: [Process; 2],
    /// What a region or a handle outside of every process points into.
    pub(crate) lease: Areas,
    pub(crate) phase: Phase,
    pub(crate) slot: u8,
    /// Questions without an answer, and one for the scan.
    pub(crate) remaining: u8,
    pub(crate) broken: Broken,
}

/// Writes or reads fields one behind the other.
struct Bits {
    word: u128,
    at: u32,
}

impl Bits {
    fn put(&mut self, value: u8, bits: u32) {
        assert!(u32::from(value) < 1 << bits, "a field of {bits} bits has no room for {value}");
        self.word |= u128::from(value) << self.at;
        self.at += bits;
        assert!(self.at <= 128);
    }

    fn take(&mut self, bits: u32) -> u8 {
        let value = (self.word >> self.at) as u8 & ((1 << bits) - 1);
        self.at += bits;
        value
    }

    fn flag(&mut self) -> bool {
        self.take(1) == 1
    }
}

impl State {
    pub(crate) fn pack(&self) -> u128 {
        let mut to = Bits { word: 0, at: 0 };
        self.refs.iter().for_each(|&refs| to.put(refs, 3));
        for areas in [self.moved, self.retired, self.queued, self.pending, self.batch, self.closed, self.freed] {
            to.put(areas, 2);
        }
        self.table.iter().for_each(|&value| to.put(value, 2));
        for actor in &self.actors {
            to.put(actor.seen as u8, 2);
            for areas in [actor.marks, actor.hands, actor.owed, actor.late] {
                to.put(areas, 2);
            }
            to.put(u8::from(actor.pushed), 1);
            to.put(actor.budget, 3);
        }
        for process in &self.processes {
            for areas in [process.heap, process.noted, process.inbox, process.mailbox, process.card.filter] {
                to.put(areas, 2);
            }
            let card = process.card;
            for flag in [card.note, card.run, card.dead, card.asked] {
                to.put(u8::from(flag), 1);
            }
            to.put(process.at as u8, 3);
        }
        to.put(self.lease, 2);
        to.put(self.phase as u8, 3);
        to.put(self.slot, 2);
        to.put(self.remaining, 3);
        to.put(self.broken as u8, 2);
        to.word
    }

    pub(crate) fn unpack(word: u128) -> Self {
        let mut from = Bits { word, at: 0 };
        let mut state = Self { refs: [from.take(3), from.take(3)], ..Self::default() };
        for areas in [
            &mut state.moved,
            &mut state.retired,
            &mut state.queued,
            &mut state.pending,
            &mut state.batch,
            &mut state.closed,
            &mut state.freed,
        ] {
            *areas = from.take(2);
        }
        state.table = [from.take(2), from.take(2)];
        for actor in &mut state.actors {
            actor.seen = [Seen::Offline, Seen::Old, Seen::Current][from.take(2) as usize];
            for areas in [&mut actor.marks, &mut actor.hands, &mut actor.owed, &mut actor.late] {
                *areas = from.take(2);
            }
            actor.pushed = from.flag();
            actor.budget = from.take(3);
        }
        for process in &mut state.processes {
            for areas in [
                &mut process.heap,
                &mut process.noted,
                &mut process.inbox,
                &mut process.mailbox,
                &mut process.card.filter,
            ] {
                *areas = from.take(2);
            }
            let card = &mut process.card;
            for flag in [&mut card.note, &mut card.run, &mut card.dead, &mut card.asked] {
                *flag = from.flag();
            }
            process.at = PLACES[from.take(3) as usize];
        }
        state.lease = from.take(2);
        state.phase = PHASES[from.take(3) as usize];
        state.slot = from.take(2);
        state.remaining = from.take(3);
        state.broken =
            [Broken::No, Broken::QueuedTwice, Broken::AnsweredTwice, Broken::TouchedLate][from.take(2) as usize];
        state
    }
}

/// The areas of a set, one by one.
pub(crate) fn each(areas: Areas) -> impl Iterator<Item = Areas> {
    [A, B].into_iter().filter(move |area| areas & area != 0)
}

/// The index of an area.
pub(crate) fn index(area: Areas) -> usize {
    usize::from(area >> 1)
}
