//! Signals: what processes tell each other beside messages. A signal is a region with a mark, goes through the mailbox of
//! its receiver like a message, and so arrives in one order with the messages of the same sender. Sending one never
//! blocks, and never touches the receiver's heap or tables (invariant 6).
//!
//! The receiver looks at its signals whenever it empties its mailbox, which it does between any two turns when one has
//! come (the card says so), also when messages that came before wait still: as in OTP, signals take effect when they
//! arrive, and what is left for the behaviour to see, an [`Event`](super::Event), keeps its place among the messages.
//!
//! A process that has ended closes its mailbox. Who finds it closed, and whose signal is found in it then, is told that
//! there is no such process.

use super::cell::{Flags, Recipient, Task};
use super::event::{Monitored, fields};
use super::exit::{NOPROC, NORMAL};
use super::info::Inquiry;
use super::links::{Relations, Watched};
use super::mailbox::Queue;
use super::node::Node;
use super::timer::TIMEOUT;
use super::{Exit, Pieces, caught};
use crate::Pid;
use crate::heap::copy::Literals;
use crate::heap::{HeapError, Region};
use crate::term::word::{self, Word};
use crate::term::{Atom, Reference, TermRef};

/// As what a region is in a mailbox: its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Message,
    /// `{From, Id}`
    Link,
    /// `{From, Id}`: the number of the receiver's that `From` knew of; zero for none.
    Unlink,
    /// `{From, Monitor, Object}`
    Monitor,
    /// `{From, Monitor}`
    Demonitor,
    /// `{'EXIT', From, Reason}`, sent by somebody.
    Exit,
    /// The same, from a process that has ended: void where there is no link.
    LinkExit,
    /// Nothing.
    Kill,
    /// The atom that is the receiver's name from here on.
    Named,
    /// An [`Inquiry`].
    Inquire,
    /// `{'DOWN', Monitor, process, Object, Reason}`: void where there is no such monitor.
    Down,
    /// An `Exit` that waits for the behaviour to see it.
    ExitEvent,
    /// A `LinkExit` that does: the end of a link.
    LinkExitEvent,
    /// As above.
    DownEvent,
    /// `{timeout, Timer}`: void where that is not the alarm of the process any more.
    TimeoutEvent,
}

const KINDS: [Kind; 15] = [
    Kind::Message,
    Kind::Link,
    Kind::Unlink,
    Kind::Monitor,
    Kind::Demonitor,
    Kind::Exit,
    Kind::LinkExit,
    Kind::Kill,
    Kind::Named,
    Kind::Inquire,
    Kind::Down,
    Kind::ExitEvent,
    Kind::LinkExitEvent,
    Kind::DownEvent,
    Kind::TimeoutEvent,
];

impl Kind {
    pub(super) fn of(signal: &Region) -> Self {
        KINDS[usize::from(signal.mark())]
    }

    /// Is it for the owner alone to see to?
    fn is_signal(self) -> bool {
        use Kind::{DownEvent, ExitEvent, LinkExitEvent, Message, TimeoutEvent};
        !matches!(self, Message | ExitEvent | LinkExitEvent | DownEvent | TimeoutEvent)
    }

    pub(super) fn set(self, signal: &mut Region) {
        signal.set_mark(self as u8);
    }
}

/// Is a region with this mark a signal, which the owner has to see to?
pub(super) fn is_signal(mark: u8) -> bool {
    KINDS.get(usize::from(mark)).is_some_and(|kind| kind.is_signal())
}

/// A signal of this kind: an immediate.
fn immediate(kind: Kind, w: Word) -> Result<Region, HeapError> {
    debug_assert!(word::is_immediate(w));
    // SAFETY: an immediate is no pointer.
    let mut signal = unsafe { Region::copy_word(w, Literals::Flatten) }?;
    kind.set(&mut signal);
    Ok(signal)
}

/// A signal of this kind: a tuple of immediates.
fn tuple(kind: Kind, front: &[Word], last: Word) -> Result<Region, HeapError> {
    with_copy(kind, front, last, Literals::Flatten)
}

/// A signal of this kind: a tuple of immediates, and a copy of a term.
fn with_copy(kind: Kind, front: &[Word], last: Word, literals: Literals) -> Result<Region, HeapError> {
    debug_assert!(front.iter().all(|&w| word::is_immediate(w)));
    // SAFETY: the callers' terms are alive during the call.
    let mut signal = unsafe { Region::tuple_with_copy(front, last, literals) }?;
    kind.set(&mut signal);
    Ok(signal)
}

/// A signal of this kind: a tuple of immediates, and the reason of an end. Without memory for a copy of that, the reason is
/// the atom `error`: that there was an end is what must not be lost.
fn with_reason(kind: Kind, front: &[Word], reason: Word) -> Result<Region, HeapError> {
    with_copy(kind, front, reason, Literals::Flatten).or_else(|_| tuple(kind, front, Atom::ERROR.word()))
}

/// What a process gets whose alarm this is.
pub(super) fn timeout_event(timer: Reference) -> Result<Region, HeapError> {
    tuple(Kind::TimeoutEvent, &[TIMEOUT], timer.word())
}

/// The number of a link.
fn number(n: u64) -> Word {
    // A process that links a billion times a second needs eighteen years for 59 bits.
    word::small(n.cast_signed()).unwrap_or(word::NIL)
}

fn number_of(term: TermRef<'_>) -> u64 {
    term.as_int().unwrap_or_default().cast_unsigned()
}

const EXIT: Word = Atom::inline("EXIT").word();
const DOWN: Word = Atom::inline("DOWN").word();
const PROCESS: Word = Atom::inline("process").word();

/// Sending. The caller must be online; `false`: there is no such process, or it has ended.
impl Node {
    pub(super) fn signal(&self, to: Pid, signal: Region) -> bool {
        let Some(occupant) = self.domain().slots.find(to) else { return false };
        // SAFETY: found in the caller's span.
        let recipient = unsafe { Recipient::of(occupant) };
        // A port is no process: it has no turns between which signals could be looked at. It takes the ends of those that it
        // monitors, as what it receives.
        if recipient.is_port() && Kind::of(&signal) != Kind::Down || recipient.mailbox().push(signal).is_err() {
            return false;
        }
        if recipient.is_port() || recipient.card().notify_signal() {
            // SAFETY: it was idle, and is scheduled now by us; a port is always told.
            unsafe { (recipient.occupant.acts.schedule)(occupant) };
        }
        true
    }

    /// Lets somebody, who may be a port, monitor a process: the end is told, at once if there is nobody.
    pub(crate) fn monitor(
        &self,
        watcher: Pid,
        id: Reference,
        whom: Option<Pid>,
        object: Monitored,
    ) -> Result<(), HeapError> {
        let there = match whom {
            Some(whom) => self.send_monitor(watcher, whom, id, object)?,
            None => false,
        };
        if !there {
            self.send_down(watcher, id, object, NOPROC.word())?;
        }
        Ok(())
    }

    /// Ends a monitor of a port's. Without memory to say so, the end comes, and the port drops it.
    pub(crate) fn demonitor_for_port(&self, port: Pid, whom: Pid, id: Reference) {
        let _ = self.send_demonitor(port, whom, id);
    }

    /// An exit signal, as somebody's wish; its literals stay literals (R4). The atom `kill` cannot be trapped.
    ///
    /// # Safety
    ///
    /// `reason` must be the word of a term of this domain, or of one without literals, that is alive during the call.
    pub(crate) unsafe fn send_exit(&self, from: Option<Pid>, to: Pid, reason: Word) -> Result<bool, HeapError> {
        if reason == Atom::inline("kill").word() {
            return self.send_kill(to);
        }
        let literals = Literals::Keep { retired: self.domain().collector.retired() };
        let from = from.map_or(word::NIL, Pid::word);
        Ok(self.signal(to, with_copy(Kind::Exit, &[EXIT, from], reason, literals)?))
    }

    pub(crate) fn send_kill(&self, to: Pid) -> Result<bool, HeapError> {
        Ok(self.signal(to, immediate(Kind::Kill, word::NIL)?))
    }

    pub(super) fn send_named(&self, to: Pid, name: Atom) -> Result<bool, HeapError> {
        Ok(self.signal(to, immediate(Kind::Named, name.word())?))
    }

    pub(super) fn send_inquiry(&self, to: Pid, mut question: Region) -> bool {
        Kind::Inquire.set(&mut question);
        self.signal(to, question)
    }

    pub(super) fn send_link(&self, from: Pid, to: Pid, id: u64) -> Result<bool, HeapError> {
        Ok(self.signal(to, tuple(Kind::Link, &[from.word()], number(id))?))
    }

    pub(super) fn send_unlink(&self, from: Pid, to: Pid, theirs: u64) -> Result<bool, HeapError> {
        Ok(self.signal(to, tuple(Kind::Unlink, &[from.word()], number(theirs))?))
    }

    pub(super) fn send_monitor(&self, from: Pid, to: Pid, id: Reference, object: Monitored) -> Result<bool, HeapError> {
        Ok(self.signal(to, tuple(Kind::Monitor, &[from.word(), id.word()], object.word())?))
    }

    pub(super) fn send_demonitor(&self, from: Pid, to: Pid, id: Reference) -> Result<bool, HeapError> {
        Ok(self.signal(to, tuple(Kind::Demonitor, &[from.word()], id.word())?))
    }

    /// `reason` must be without literals.
    pub(super) fn send_link_exit(&self, from: Pid, to: Pid, reason: Word) -> Result<bool, HeapError> {
        Ok(self.signal(to, with_reason(Kind::LinkExit, &[EXIT, from.word()], reason)?))
    }

    /// `reason` must be without literals.
    pub(super) fn send_down(&self, to: Pid, id: Reference, object: Monitored, reason: Word) -> Result<bool, HeapError> {
        let front = [DOWN, id.word(), PROCESS, object.word()];
        Ok(self.signal(to, with_reason(Kind::Down, &front, reason)?))
    }
}

/// The monitor whose end this is, which a port has received; a message from here on.
pub(crate) fn received_end(message: &mut Region) -> Option<Reference> {
    if Kind::of(message) != Kind::Down {
        return None;
    }
    Kind::Message.set(message);
    fields(message).get(1).and_then(|id| id.as_reference())
}

/// Looks at `budget` of the signals among what was taken out of the mailbox, moves messages and events to the inbox, and
/// leaves what is behind in `all`. An error: one of them ends the process.
///
/// # Safety
///
/// The caller must own the process, between two turns.
pub(super) unsafe fn handle(task: Task, all: &mut Queue, budget: &mut u32) -> Result<(), Exit> {
    while *budget > 0
        && let Some(mut signal) = all.pop()
    {
        let kind = Kind::of(&signal);
        *budget -= u32::from(kind.is_signal());
        let seen = match kind {
            _ if !kind.is_signal() => Seen::Keep(kind),
            Kind::Kill => Seen::End(Exit::KILLED),
            Kind::Inquire => {
                if let Some(Inquiry(asks)) = signal.root().resource() {
                    // SAFETY: the caller's promise. Who asks may have given up.
                    let _ = asks.send(unsafe { task.own_info(all.load()) });
                }
                Seen::Drop
            }
            Kind::Exit => exit(task, &signal, Kind::ExitEvent),
            Kind::LinkExit => {
                let from = fields(&signal).get(1).and_then(|from| from.as_pid());
                // SAFETY: the caller's promise, here and below.
                let linked = unsafe { task.relations_if_any() }.is_some_and(|relations| relations.unlinked(from));
                if linked { exit(task, &signal, Kind::LinkExitEvent) } else { Seen::Drop }
            }
            Kind::Down => {
                let id = fields(&signal).get(1).and_then(|id| id.as_reference());
                // SAFETY: as above.
                let relations = unsafe { task.relations_if_any() };
                let active = id.zip(relations).is_some_and(|(id, relations)| relations.demonitored(id).is_some());
                if active { Seen::Keep(Kind::DownEvent) } else { Seen::Drop }
            }
            _ => match relate(task, kind, &signal, false) {
                Ok(()) => Seen::Drop,
                Err(error) => Seen::End(Exit::heap(error)),
            },
        };
        match seen {
            Seen::Keep(kind) => {
                kind.set(&mut signal);
                // SAFETY: as above; the borrow ends with the statement.
                unsafe { task.owned() }.inbox.push(signal);
            }
            // The reason of somebody's end may own things of the user's.
            Seen::Drop => _ = caught(|| drop(signal)),
            Seen::End(exit) => {
                let _ = caught(|| drop(signal));
                return Err(exit);
            }
        }
    }
    Ok(())
}

enum Seen {
    Keep(Kind),
    Drop,
    End(Exit),
}

/// What an exit signal does: it is seen as an event of this kind by who traps exits, and ends who does not, unless it says `normal`.
fn exit(task: Task, signal: &Region, event: Kind) -> Seen {
    // SAFETY: the caller of `handle` owns the process; the borrow ends with the statement.
    if unsafe { task.owned() }.flags.has(Flags::TRAPS_EXITS) {
        return Seen::Keep(event);
    }
    let &[_, from, reason] = fields(signal) else { return Seen::Drop };
    if reason.as_atom() == Some(NORMAL) && from.as_pid() != Some(task.pid()) {
        return Seen::Drop;
    }
    // The reason of an end is handed to threads and kept for any time: without literals (H4).
    // SAFETY: the signal is alive.
    Seen::End(match unsafe { Region::copy_word(reason.word(), Literals::Flatten) } {
        Ok(reason) => Exit::term(reason),
        Err(error) => Exit::heap(error),
    })
}

/// Notes what a signal says of links and monitors; `late` when the process has ended before it saw it. Who cannot be noted
/// for want of memory is told that there is no such process: it ends, or has.
fn relate(task: Task, kind: Kind, signal: &Region, late: bool) -> Result<(), HeapError> {
    // SAFETY: the caller owns the process; the borrow ends with the statement.
    let noted = unsafe { task.relations() }.and_then(|relations| note(relations, kind, signal, late));
    let (node, me) = (&task.header().node, task.pid());
    if noted.is_err() {
        // As in `farewell`: without memory for the signal there is nobody to tell.
        match (kind, fields(signal)) {
            (Kind::Link, &[from, _]) => _ = from.as_pid().map(|from| node.send_link_exit(me, from, NOPROC.word())),
            (Kind::Monitor, &[from, id, object]) => {
                if let (Some(from), Some(id), Some(object)) = (from.as_pid(), id.as_reference(), Monitored::of(object))
                {
                    let _ = node.send_down(from, id, object, NOPROC.word());
                }
            }
            // It ends, or has, and would not know what to give back.
            (Kind::Named, _) => _ = signal.root().as_atom().map(|name| node.forget_name(name, me)),
            _ => {}
        }
    }
    noted
}

fn note(relations: &mut Relations, kind: Kind, signal: &Region, late: bool) -> Result<(), HeapError> {
    match (kind, fields(signal)) {
        (Kind::Link, &[from, id]) => relations.link_came(from.as_pid(), number_of(id), late)?,
        (Kind::Unlink, &[from, id]) => relations.unlink_came(from.as_pid(), number_of(id)),
        (Kind::Monitor, &[from, id, object]) => {
            if let (Some(from), Some(id), Some(object)) = (from.as_pid(), id.as_reference(), Monitored::of(object)) {
                relations.watchers.reserve()?;
                relations.watchers.insert((from, id), Watched { object, late });
            }
        }
        (Kind::Demonitor, &[from, id]) => {
            if let (Some(from), Some(id)) = (from.as_pid(), id.as_reference()) {
                relations.watchers.remove(&(from, id));
            }
        }
        (Kind::Named, _) => relations.name = signal.root().as_atom(),
        _ => {}
    }
    Ok(())
}

/// Notes what is found in the mailbox of a process that has ended.
///
/// # Safety
///
/// The caller must own the process, which has ended.
pub(super) unsafe fn too_late(task: Task, signal: &Region) {
    let kind = Kind::of(signal);
    if matches!(kind, Kind::Link | Kind::Unlink | Kind::Monitor | Kind::Demonitor | Kind::Named) {
        // Who cannot be noted has been told.
        let _ = relate(task, kind, signal, true);
    }
}

/// Gives back the name of a process that has ended.
///
/// # Safety
///
/// The caller must own the process.
pub(super) unsafe fn give_name_back(task: Task) {
    // SAFETY: the caller's promise.
    if let Some(name) = unsafe { task.known_relations() }.and_then(|relations| relations.name) {
        task.header().node.forget_name(name, task.pid());
    }
}

/// Tells all who are linked to the process, and all who monitor it, that it has ended. The caller must be online.
///
/// # Safety
///
/// The caller must own the process, which has ended and is out of its slot.
pub(super) unsafe fn farewell(task: Task, exit: &Exit, pieces: &mut Pieces<'_>) {
    // SAFETY: the caller's promise.
    let Some(relations) = (unsafe { task.take_relations() }) else { return };
    let Relations { links, monitors, watchers, .. } = *relations;
    let (node, me) = (&task.header().node, task.pid());
    // Without memory for so little as a signal there is nobody to tell; `Box` would abort the program.
    for (id, target) in monitors.into_pairs() {
        let _ = node.send_demonitor(me, target, id);
        pieces.one();
    }
    if links.len() == 0 && watchers.len() == 0 {
        return;
    }
    exit.with_word(|reason| {
        let reason_for = |late| if late { NOPROC.word() } else { reason };
        for (peer, link) in links.into_pairs() {
            let _ = node.send_link_exit(me, peer, reason_for(link.late));
            pieces.one();
        }
        for ((watcher, id), watched) in watchers.into_pairs() {
            let _ = node.send_down(watcher, id, watched.object, reason_for(watched.late));
            pieces.one();
        }
    });
}
