//! The steps of the protocol: who can do what in a state, one atomic operation at a time.
//!
//! A step is named as ARCHITECTURE numbers it: R1 to R7 for everyone, C1 to C6 for the collector.

use super::state::{A, Actor, Areas, At, B, Broken, Card, F, Phase, Process, Seen, State, each, index};
use std::fmt::Arguments;

/// A step left out, or done in the wrong place. Each must lead to a state that the search reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// C3 waits for nobody.
    NoGrace,
    /// C3 waits for workers alone (H5).
    ForeignNotInGrace,
    /// C5 comes before C3 (H9).
    AskBeforeGrace,
    /// C5 believes the filter of a process that runs (H1).
    ScanFilterOnly,
    /// C1 marks what somebody holds again (H6).
    NoCountAtMark,
    /// C4 looks at nothing (H4).
    NoCountAfterGrace,
    /// C4 looks whether the count is zero, not whether it moved (H6).
    CountOnlyAfterGrace,
    /// R6 goes idle with the filter of the time before (H2).
    OldFilterAtIdle,
    /// R6 publishes the filter of the heap without that of its messages (H3).
    MessagesNotInFilter,
    /// R6 evacuates without a look into the mailbox (H3).
    EvacuateNoDrain,
    /// R6 evacuates the heap and not the messages (H3).
    EvacuateForgetsMessages,
    /// R6: what is copied out of an area leads on into another, and the filter does not learn it (H6).
    EvacuateForgetsFilter,
    /// R4: a copy takes literals along whatever their area says (H7).
    SendIgnoresMark,
    /// R4: a region that is forwarded whole is not looked at (H7).
    ForwardIgnoresMark,
    /// R4: put takes no notice of the mark (H6).
    PutIgnoresMark,
    /// R4: what leaves for a place outside of processes is not counted (H4).
    LeaseNotCounted,
    /// An area that leans on another holds no reference there (H6).
    DependencyNotCounted,
    /// R5: no flag says that an area is queued (H6).
    NoQueuedFlag,
    /// R5: the last reference is dropped outside of the lock of the pending list.
    LastDropOutsideLock,
    /// A sender notes the card and pushes then (H2).
    NoteBeforePush,
    /// A process that was given a message, and noted since, is run without a look into the mailbox (H2).
    ClaimWithoutDrain,
    /// R7 leaves without an answer (H32).
    ExitNoAnswer,
    /// R7 answers twice (H32).
    ExitAnswersTwice,
    /// R7: the card says dead, and answers, before the heap is gone (H15).
    DeadBeforeDrop,
    /// A worker sleeps online (H25).
    ParksOnline,
    /// The collector's look at an idle process forgets its messages (H17).
    InspectSkipsMessages,
    /// The collector lets go of a process that was noted meanwhile, and nobody runs it (H17).
    InspectForgetsNote,
    /// What joins a batch whose holders are left alone has no grace period of its own (H27).
    JoinsWithoutGrace,
    /// Holders are left alone for ever (H27).
    SparedForEver,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Protocol {
    pub(crate) fault: Option<Fault>,
    /// Holders are left alone for a while, in which they may collect by themselves and others may join the batch.
    pub(crate) lazy: bool,
    /// The collector looks at the heap of an idle process before it asks.
    pub(crate) inspect: bool,
    /// The two areas have nothing to do with each other.
    pub(crate) apart: bool,
}

/// How much each of the two processes and the thread outside may do. What they have to do comes on top.
pub(crate) type Bounds = [u8; 3];

pub(crate) fn start(protocol: Protocol, bounds: Bounds) -> State {
    let counted = protocol.leans() && !protocol.has(Fault::DependencyNotCounted);
    let mut state = State {
        refs: [1, if counted { 2 } else { 1 }],
        table: [A, B],
        actors: bounds.map(|budget| Actor { budget, ..Actor::default() }),
        ..State::default()
    };
    state.processes[0].card.note = true;
    state
}

/// What is wrong with a state, if anything.
pub(crate) fn wrong(protocol: Protocol, s: &State) -> Option<String> {
    match s.broken {
        Broken::No => {}
        Broken::QueuedTwice => return Some("an area is queued twice, and would be freed twice".into()),
        Broken::AnsweredTwice => return Some("more answers than questions".into()),
        Broken::TouchedLate => return Some("an area is looked at after its end".into()),
    }
    let places = [("the table", s.table[0] | s.table[1]), ("a lease", s.lease)]
        .into_iter()
        .chain(s.actors.iter().map(|actor| ("somebody's hands", actor.hands)))
        .chain(
            s.processes
                .iter()
                .flat_map(|p| [("a heap", p.heap), ("a private message", p.inbox), ("a mailbox", p.mailbox)]),
        );
    let mut dangling = places.filter(|(_, areas)| areas & s.freed != 0);
    if let Some((place, areas)) = dangling.next() {
        return Some(format!("area {} is freed and {place} points there", index(areas & s.freed)));
    }
    (protocol.leans() && s.freed & B != 0 && s.freed & A == 0).then(|| "area 1 is freed and area 0 points there".into())
}

/// What is wrong with a state in which nothing can happen any more.
pub(crate) fn wrong_end(s: &State) -> Option<String> {
    if let Some(area) = each(A | B).find(|&area| s.freed & area == 0 && s.refs[index(area)] == 0) {
        return Some(format!("area {} is never freed", index(area)));
    }
    s.processes.iter().any(|p| p.mailbox != 0 && !p.card.dead).then(|| "a message is never received".into())
}

impl Protocol {
    pub(crate) fn has(self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// Does area 0 point into area 1?
    pub(crate) fn leans(self) -> bool {
        !self.apart
    }

    /// R4, the part that is a write: one reference more.
    fn retain(s: &mut State, area: Areas) {
        s.refs[index(area)] += 1;
        s.moved |= area;
    }

    /// R5.
    fn release(self, s: &mut State, area: Areas, late: Option<&mut Areas>) {
        s.refs[index(area)] -= 1;
        if s.refs[index(area)] > 0 {
            return;
        }
        match late {
            Some(late) if self.has(Fault::LastDropOutsideLock) => *late |= area,
            _ => self.queue(s, area),
        }
    }

    fn queue(self, s: &mut State, area: Areas) {
        if s.queued & area != 0 && !self.has(Fault::NoQueuedFlag) {
            return;
        }
        if (s.pending | s.batch) & area != 0 {
            s.broken = Broken::QueuedTwice;
        }
        s.queued |= area;
        s.pending |= area;
    }

    fn drop_owed(self, s: &mut State, who: usize) {
        let mut late = s.actors[who].late;
        for area in each(std::mem::take(&mut s.actors[who].owed)) {
            self.release(s, area, Some(&mut late));
        }
        s.actors[who].late = late;
    }

    fn answered(s: &mut State) {
        match s.remaining.checked_sub(1) {
            Some(left) => s.remaining = left,
            None => s.broken = Broken::AnsweredTwice,
        }
    }

    /// The first half of a send, up to the push (or, with that fault, to the note).
    fn push(self, s: &mut State, who: usize, to: usize, areas: Areas) {
        if s.processes[to].card.dead {
            return;
        }
        if self.has(Fault::NoteBeforePush) {
            s.processes[to].card.note = true;
            s.actors[who].late = areas;
        } else {
            s.processes[to].mailbox |= areas;
        }
        s.actors[who].pushed = true;
    }

    /// A send to a process that is idle may be this instead, in one exchange. (What is written behind that belongs to the
    /// process, which nobody runs before it is on a queue.)
    fn give(s: &mut State, to: usize, areas: Areas) -> bool {
        let process = &mut s.processes[to];
        let idle = process.card.is_idle();
        if idle {
            process.card.run = true;
            process.inbox |= areas;
        }
        idle
    }

    fn finish_push(self, s: &mut State, who: usize, to: usize) {
        s.actors[who].pushed = false;
        let areas = if self.has(Fault::NoteBeforePush) { std::mem::take(&mut s.actors[who].late) } else { 0 };
        let process = &mut s.processes[to];
        if process.card.dead {
            return;
        }
        process.mailbox |= areas;
        process.card.note |= !self.has(Fault::NoteBeforePush);
    }

    /// What is left in `areas` once the retired ones are copied: the copies lead on to what those leaned on.
    fn evacuated(self, areas: Areas, retired: Areas) -> Areas {
        let through = if self.leans() && areas & retired & A != 0 && retired & B == 0 { B } else { 0 };
        areas & !retired | through
    }

    fn drain(process: &mut Process) {
        process.inbox |= std::mem::take(&mut process.mailbox);
    }

    fn boundary(s: &mut State, who: usize) {
        let retired = s.retired;
        let actor = &mut s.actors[who];
        (actor.seen, actor.marks, actor.hands) = (Seen::Current, retired, 0);
    }

    fn leave(s: &mut State, who: usize) {
        let actor = &mut s.actors[who];
        (actor.seen, actor.hands) = (Seen::Offline, 0);
    }

    /// Calls `emit` with each step that can be taken in `s`, and what it leads to.
    pub(crate) fn steps(self, s: &State, emit: &mut dyn FnMut(Arguments, State)) {
        for who in 0..3 {
            let to = if who == 0 { 1 } else { usize::from(who == F) };
            let name = ["P0", "P1", "F"][who];
            let actor = s.actors[who];
            let mut t = *s;
            // What a thread is in the middle of comes before all else that it does.
            if actor.owed != 0 {
                self.drop_owed(&mut t, who);
                emit(format_args!("{name} drops the reference of what it unpublished"), t);
            } else if actor.pushed {
                self.finish_push(&mut t, who, to);
                emit(format_args!("{name} finishes its send"), t);
            } else if actor.late != 0 {
                let area = actor.late & actor.late.wrapping_neg();
                t.actors[who].late &= !area;
                if s.freed & area != 0 {
                    t.broken = Broken::TouchedLate;
                }
                self.queue(&mut t, area);
                emit(format_args!("{name} queues area {}, whose count it brought to zero", index(area)), t);
            } else if who == F {
                self.outside(s, emit);
            } else {
                self.worker(s, who, to, emit);
            }
        }
        self.collector(s, emit);
    }

    /// R1, R6, R7: a worker and the process that it runs.
    fn worker(self, s: &State, w: usize, to: usize, emit: &mut dyn FnMut(Arguments, State)) {
        let (actor, process) = (s.actors[w], s.processes[w]);
        let given = process.card.run && process.at == At::Rest;
        let scheduled = given || process.card.note && !process.card.run && !process.card.dead;
        let mut t = *s;
        if actor.seen == Seen::Offline {
            if scheduled {
                Self::boundary(&mut t, w);
                emit(format_args!("W{w} goes online"), t);
            }
            return;
        }
        let mine = &mut t.processes[w];
        match process.at {
            At::Rest if given && (!process.card.note || self.has(Fault::ClaimWithoutDrain)) => {
                (mine.card.note, mine.at) = (false, At::Turn);
                emit(format_args!("W{w} claims P{w}, and a turn with what it was given begins"), t);
            }
            At::Rest if scheduled => {
                (mine.card.note, mine.card.run, mine.at) = (false, true, At::Claimed);
                emit(format_args!("W{w} claims P{w}"), t);
            }
            At::Rest | At::Inspected if !self.has(Fault::ParksOnline) => {
                Self::leave(&mut t, w);
                emit(format_args!("W{w} sleeps"), t);
            }
            At::Rest | At::Inspected => {}
            At::Claimed => {
                Self::drain(mine);
                mine.at = At::Turn;
                emit(format_args!("P{w} drains its mailbox, and a turn begins"), t);
            }
            At::Turn => {
                if actor.budget > 0 {
                    self.turn(s, w, to, emit);
                }
                Self::boundary(&mut t, w);
                t.processes[w].at = At::Between;
                emit(format_args!("P{w} ends its turn"), t);
            }
            At::Between => self.between(s, w, emit),
            At::Drained => {
                let heap = self.evacuated(process.heap, s.retired);
                let forgotten = self.has(Fault::EvacuateForgetsFilter);
                mine.noted = if forgotten { heap & process.noted } else { heap };
                mine.heap = heap;
                if !self.has(Fault::EvacuateForgetsMessages) {
                    mine.inbox = self.evacuated(process.inbox, s.retired);
                }
                mine.at = At::Evacuated;
                emit(format_args!("P{w} evacuates"), t);
            }
            At::Evacuated => {
                mine.at = At::Between;
                mine.card.asked = false;
                Self::answered(&mut t);
                emit(format_args!("P{w} answers"), t);
            }
            At::Dying => {
                *mine = Process { card: process.card, ..Process::default() };
                emit(format_args!("P{w} drops its heap"), t);
            }
        }
    }

    /// R6, between two turns.
    fn between(self, s: &State, w: usize, emit: &mut dyn FnMut(Arguments, State)) {
        let process = s.processes[w];
        if process.inbox != 0 {
            let mut t = *s;
            let mine = &mut t.processes[w];
            (mine.card.run, mine.card.note, mine.at) = (false, true, At::Rest);
            emit(format_args!("P{w} has had its turns, and waits for more"), t);
        }
        if process.card.asked {
            let mut t = *s;
            let mine = &mut t.processes[w];
            if !self.has(Fault::EvacuateNoDrain) {
                Self::drain(mine);
            }
            mine.at = At::Drained;
            return emit(format_args!("P{w} sees the question, and drains its mailbox"), t);
        }
        if s.phase == Phase::Spared && process.heap & s.closed != 0 {
            let mut t = *s;
            let mine = &mut t.processes[w];
            mine.heap = self.evacuated(process.heap, s.closed);
            mine.noted = mine.heap;
            emit(format_args!("P{w} collects by itself, and evacuates"), t);
        }
        let mut t = *s;
        let mine = &mut t.processes[w];
        if process.card.note {
            (mine.card.note, mine.at) = (false, At::Claimed);
            return emit(format_args!("P{w} sees that something has come"), t);
        }
        let messages = if self.has(Fault::MessagesNotInFilter) { 0 } else { process.inbox };
        let filter = if self.has(Fault::OldFilterAtIdle) { process.card.filter } else { process.noted | messages };
        (mine.card, mine.at) = (Card { filter, ..Card::default() }, At::Rest);
        emit(format_args!("P{w} goes idle"), t);
    }

    /// R2, R3, R4: one action of a behaviour.
    fn turn(self, s: &State, w: usize, to: usize, emit: &mut dyn FnMut(Arguments, State)) {
        let (actor, process) = (s.actors[w], s.processes[w]);
        let mut next = *s;
        next.actors[w].budget -= 1;
        let mine = |f: &dyn Fn(&mut Process)| {
            let mut t = next;
            f(&mut t.processes[w]);
            t
        };
        for (key, &value) in s.table.iter().enumerate() {
            if value & !actor.hands != 0 {
                let mut t = next;
                t.actors[w].hands |= value;
                emit(format_args!("P{w} gets key {key}"), t);
            }
        }
        let have = actor.hands | process.heap | process.inbox;
        if self.leans() && have & A != 0 && have & B == 0 {
            let mut t = next;
            t.actors[w].hands |= B;
            emit(format_args!("P{w} takes a part of area 0 that lies in area 1"), t);
        }
        if actor.hands & !process.heap != 0 {
            let kept = mine(&|p| (p.heap, p.noted) = (p.heap | actor.hands, p.noted | actor.hands));
            emit(format_args!("P{w} keeps what it has"), kept);
        }
        if process.inbox != 0 {
            let kept = |p: &mut Process| {
                (p.heap, p.noted, p.inbox) = (p.heap | p.inbox, p.noted | p.inbox, 0);
            };
            emit(format_args!("P{w} keeps its messages"), mine(&kept));
            emit(format_args!("P{w} drops its messages"), mine(&|p| p.inbox = 0));
            let mut t = next;
            t.processes[w].inbox = 0;
            let whole = process.inbox & actor.marks == 0 || self.has(Fault::ForwardIgnoresMark);
            let message = if whole { process.inbox } else { self.evacuated(process.inbox, actor.marks) };
            let mut gives = t;
            if Self::give(&mut gives, to, message) {
                emit(format_args!("P{w} forwards its messages to P{to}, which is idle"), gives);
            }
            self.push(&mut t, w, to, message);
            emit(format_args!("P{w} forwards its messages"), t);
        }
        if process.heap != 0 {
            emit(format_args!("P{w} empties its state"), mine(&|p| (p.heap, p.noted) = (0, 0)));
            emit(format_args!("P{w} lets go of its state and is not collected"), mine(&|p| p.heap = 0));
        }
        for area in each(have) {
            let marked = actor.marks & area != 0;
            if !marked || self.has(Fault::SendIgnoresMark) {
                let (mut t, mut gives) = (next, next);
                if Self::give(&mut gives, to, area) {
                    emit(format_args!("P{w} gives area {} to P{to}, which is idle", index(area)), gives);
                }
                self.push(&mut t, w, to, area);
                emit(format_args!("P{w} sends area {} by pointer", index(area)), t);
            }
            if (!marked || self.has(Fault::PutIgnoresMark)) && s.table[0] != area {
                let mut t = next;
                Self::retain(&mut t, area);
                t.actors[w].owed |= std::mem::replace(&mut t.table[0], area);
                emit(format_args!("P{w} puts area {} under key 0", index(area)), t);
            }
        }
        self.exit(&next, w, emit);
    }

    /// R7.
    fn exit(self, next: &State, w: usize, emit: &mut dyn FnMut(Arguments, State)) {
        let mut t = *next;
        let process = t.processes[w];
        t.processes[w] = Process { card: Card { dead: true, ..Card::default() }, ..Process::default() };
        if self.has(Fault::DeadBeforeDrop) {
            t.processes[w] = Process { card: t.processes[w].card, at: At::Dying, mailbox: 0, ..process };
        }
        t.actors[w].hands = 0;
        if process.card.asked && !self.has(Fault::ExitNoAnswer) {
            Self::answered(&mut t);
            if self.has(Fault::ExitAnswersTwice) {
                Self::answered(&mut t);
            }
        }
        emit(format_args!("P{w} ends"), t);
    }

    /// A thread that is no worker: a guard, a region or handle of its own, `erase`.
    fn outside(self, s: &State, emit: &mut dyn FnMut(Arguments, State)) {
        let actor = s.actors[F];
        let online = actor.seen != Seen::Offline;
        if actor.budget > 0 {
            let mut next = *s;
            next.actors[F].budget -= 1;
            if !online {
                let mut t = next;
                Self::boundary(&mut t, F);
                emit(format_args!("F pins"), t);
            }
            for (key, &value) in s.table.iter().enumerate().filter(|(_, value)| **value != 0) {
                if online && value & !actor.hands != 0 {
                    let mut t = next;
                    t.actors[F].hands |= value;
                    emit(format_args!("F gets key {key}"), t);
                }
                let mut t = next;
                t.actors[F].owed |= std::mem::take(&mut t.table[key]);
                emit(format_args!("F erases key {key}"), t);
            }
            if self.leans() && actor.hands & A != 0 && actor.hands & B == 0 {
                let mut t = next;
                t.actors[F].hands |= B;
                emit(format_args!("F takes a part of area 0 that lies in area 1"), t);
            }
            for area in each(actor.hands & !actor.marks) {
                let mut t = next;
                self.push(&mut t, F, 1, area);
                emit(format_args!("F sends area {} by pointer", index(area)), t);
                if s.lease & area == 0 {
                    let mut t = next;
                    t.lease |= area;
                    if !self.has(Fault::LeaseNotCounted) {
                        Self::retain(&mut t, area);
                    }
                    emit(format_args!("F leases area {}", index(area)), t);
                }
            }
        }
        if online {
            let mut t = *s;
            Self::leave(&mut t, F);
            emit(format_args!("F unpins"), t);
        }
        for area in each(s.lease) {
            let mut t = *s;
            t.lease &= !area;
            if !self.has(Fault::LeaseNotCounted) {
                self.release(&mut t, area, None);
            }
            emit(format_args!("F drops its lease on area {}", index(area)), t);
            if actor.budget > 0 && online {
                let mut t = *s;
                t.actors[F].budget -= 1;
                self.push(&mut t, F, 1, area);
                emit(format_args!("F sends its region with area {}", index(area)), t);
            }
        }
    }

    fn collector(self, s: &State, emit: &mut dyn FnMut(Arguments, State)) {
        let mut t = *s;
        match s.phase {
            Phase::Idle | Phase::Spared if s.pending != 0 => {
                t.pending = 0;
                let mut marked = 0;
                for area in each(s.pending) {
                    if s.refs[index(area)] != 0 && !self.has(Fault::NoCountAtMark) {
                        t.queued &= !area;
                    } else {
                        marked |= area;
                    }
                }
                (t.retired, t.moved, t.batch) = (s.retired | marked, s.moved & !marked, s.batch | marked);
                if s.phase == Phase::Spared && self.has(Fault::JoinsWithoutGrace) {
                    t.closed = t.batch;
                } else if marked != 0 {
                    t.phase = Phase::Marked;
                }
                emit(format_args!("C1 marks areas {marked:#b}"), t);
            }
            _ => {}
        }
        let mut t = *s;
        match s.phase {
            Phase::Idle => {}
            Phase::Marked => {
                for actor in t.actors.iter_mut().filter(|actor| actor.seen == Seen::Current) {
                    actor.seen = Seen::Old;
                }
                t.phase = if self.has(Fault::AskBeforeGrace) { Self::scan(&mut t) } else { Phase::Grace };
                emit(format_args!("C2 advances the epoch"), t);
            }
            Phase::Grace => {
                let behind = |who: &usize| s.actors[*who].seen == Seen::Old;
                let waits = (0..3)
                    .filter(behind)
                    .any(|who| !self.has(Fault::NoGrace) && (who != F || !self.has(Fault::ForeignNotInGrace)));
                if !waits {
                    self.close(&mut t);
                    emit(format_args!("C4 closes areas {:#b}", t.closed), t);
                }
            }
            Phase::Scan if s.slot < 2 => self.ask(s, emit),
            Phase::Scan => {
                Self::answered(&mut t);
                let early = self.has(Fault::AskBeforeGrace) && s.closed != s.batch;
                t.phase = if early { Phase::Grace } else { Phase::Answers };
                emit(format_args!("C5 ends its scan"), t);
            }
            Phase::Inspect => {
                t.slot += 1;
                t.phase = Phase::Scan;
                let process = &mut t.processes[usize::from(s.slot)];
                let messages = if self.has(Fault::InspectSkipsMessages) { 0 } else { process.inbox };
                let holds = (process.heap | messages) & s.batch != 0;
                (process.card.run, process.at) = (false, At::Rest);
                process.noted = process.heap;
                process.card.filter = process.heap | messages;
                if holds {
                    process.card.asked = true;
                    process.card.note = true;
                    t.remaining += 1;
                } else if self.has(Fault::InspectForgetsNote) {
                    process.card.note = false;
                }
                let asked = if holds { "asks" } else { "lets go of" };
                emit(format_args!("C5 has looked at the heap of P{}, and {asked} it", s.slot), t);
            }
            Phase::Answers => {
                if s.remaining == 0 {
                    t.phase = Phase::Free;
                    emit(format_args!("C6 has all answers"), t);
                }
            }
            Phase::Spared if self.has(Fault::SparedForEver) => {}
            Phase::Spared => {
                t.phase = Self::scan(&mut t);
                emit(format_args!("C leaves the holders alone no longer"), t);
            }
            Phase::Free => {
                (t.freed, t.retired) = (s.freed | s.batch, s.retired & !s.batch);
                (t.batch, t.closed, t.phase) = (0, 0, Phase::Idle);
                if self.leans() && s.batch & A != 0 && !self.has(Fault::DependencyNotCounted) {
                    self.release(&mut t, B, None);
                }
                emit(format_args!("C6 frees areas {:#b}", s.batch), t);
            }
        }
    }

    /// C4.
    fn close(self, t: &mut State) {
        for area in each(t.batch & !t.closed) {
            if self.has(Fault::NoCountAfterGrace) {
                t.closed |= area;
            } else if t.refs[index(area)] != 0 {
                (t.batch, t.retired, t.queued) = (t.batch & !area, t.retired & !area, t.queued & !area);
            } else if t.moved & area != 0 && !self.has(Fault::CountOnlyAfterGrace) {
                (t.batch, t.retired, t.pending) = (t.batch & !area, t.retired & !area, t.pending | area);
            } else {
                t.closed |= area;
            }
        }
        t.phase = match t.batch {
            0 => Phase::Idle,
            _ if self.has(Fault::AskBeforeGrace) => Phase::Answers,
            _ if self.lazy => Phase::Spared,
            _ => Self::scan(t),
        };
    }

    /// C5 begins.
    fn scan(t: &mut State) -> Phase {
        t.slot = 0;
        t.remaining += 1;
        Phase::Scan
    }

    /// C5, one card.
    fn ask(self, s: &State, emit: &mut dyn FnMut(Arguments, State)) {
        let mut t = *s;
        t.slot += 1;
        let process = &mut t.processes[usize::from(s.slot)];
        let card = process.card;
        let running = !card.is_idle() && !self.has(Fault::ScanFilterOnly);
        let hit = card.filter & s.batch != 0;
        let what = if card.dead || !running && !hit {
            "passes over"
        } else if self.inspect && card.is_idle() {
            (process.card.run, process.at) = (true, At::Inspected);
            (t.phase, t.slot) = (Phase::Inspect, s.slot);
            "claims"
        } else {
            process.card.asked = true;
            process.card.note = true;
            t.remaining += 1;
            "asks"
        };
        emit(format_args!("C5 {what} P{}", s.slot), t);
    }
}
