use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, select};

use super::command::Control;
use super::compaction::Compaction;
use super::turn::Turn;
use super::watchers::Watchers;
use super::{Command, Fatal, Hooks, Snapshot};
use crate::limits::{
    COMPACTION_STEPS_MAX, HANDOVER_COMMANDS, IDLE_TICK, PUBLISH_CHECK, TURN_COMMANDS_MAX,
};
use crate::model::{Rejection, TaskList};
use crate::store::{CommitError, Store};

enum Event<F> {
    Command(Command<F>),
    Control(Control<F>),
    /// Something is due at this time, or nothing happened for long.
    Tick,
    /// To be stopped, or nobody is left who could send anything.
    Stop,
}

/// The state thread's own: nobody else touches any of it.
pub(super) struct State<F> {
    pub(super) list: TaskList,
    pub(super) store: Box<dyn Store>,
    pub(super) watchers: Watchers<F>,
    pub(super) compaction: Compaction,
    pub(super) commands: Receiver<Command<F>>,
    pub(super) control: Receiver<Control<F>>,
    /// Disconnects when it is to stop.
    pub(super) stopped: Receiver<()>,
    pub(super) hooks: Hooks<F>,
    /// When to look again whether what is pending can be published.
    pub(super) publish_at: Option<Instant>,
    /// Why the store took nothing the last time. The log says when that begins and
    /// ends, not once a turn: it may be on the disk that is full.
    pub(super) refusing: Option<Rejection>,
}

impl<F: Clone> State<F> {
    /// Runs until told to stop, or until a failure makes it unsafe to go on: then
    /// the store is left alone.
    pub(super) fn run(mut self) -> Result<Box<dyn Store>, Fatal> {
        let served = self.serve();
        for queued in self.commands.try_iter() {
            queued.reject(Rejection::OutcomeUnknown);
        }
        self.watchers.end_all(&Rejection::ShuttingDown);
        (self.hooks.turn_done)();
        served.map(|()| self.store)
    }

    fn serve(&mut self) -> Result<(), Fatal> {
        loop {
            match self.next_event() {
                Event::Command(first) => self.turn(first)?,
                Event::Control(control) => self.control(control),
                Event::Tick => {}
                Event::Stop => break,
            }
            self.do_what_is_due()?;
        }
        while let Ok(queued) = self.commands.try_recv() {
            self.turn(queued)?;
        }
        Ok(())
    }

    fn next_event(&self) -> Event<F> {
        let tick =
            self.next_due().map_or(IDLE_TICK, |due| due.saturating_duration_since(Instant::now()));
        select! {
            recv(self.commands) -> command => command.map_or(Event::Stop, Event::Command),
            recv(self.control) -> control => control.map_or(Event::Stop, Event::Control),
            recv(self.stopped) -> _ => Event::Stop,
            default(tick) => Event::Tick,
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let due = [self.publish_at, self.watchers.next_due(), self.compaction.next()];
        due.into_iter().flatten().min()
    }

    /// After each event, since under load there is always a next one.
    fn do_what_is_due(&mut self) -> Result<(), Fatal> {
        let Some(due) = self.next_due() else { return Ok(()) };
        let now = Instant::now();
        if due > now {
            return Ok(());
        }
        if self.publish_at.is_some_and(|due| due <= now) {
            self.publish_unless_delivering(now);
        }
        self.watchers.do_what_is_due(now);
        (self.hooks.turn_done)();
        if self.compaction.next().is_some_and(|due| due <= now) {
            self.compact()?;
        }
        Ok(())
    }

    fn control(&mut self, control: Control<F>) {
        match control {
            Control::Unwatch(id) => self.watchers.remove(id),
            Control::Rejoin { id, to } => {
                self.watchers.rejoin(id, &to);
                (self.hooks.turn_done)();
            }
        }
    }

    /// Drain, apply to a draft, commit, publish, reply.
    fn turn(&mut self, first: Command<F>) -> Result<(), Fatal> {
        // Whoever shares the core with this thread first hands over what it has received.
        // Woken for each command there would be a turn, and two switches, for each:
        // measured, 140,000 switches for 200,000 calls instead of 2,400.
        if self.commands.len() < HANDOVER_COMMANDS {
            thread::yield_now();
        }
        let mut turn = Turn::new(&self.list, (self.hooks.clock)());
        turn.apply(first, &mut *self.store)?;
        for command in self.commands.try_iter().take(TURN_COMMANDS_MAX - 1) {
            turn.apply(command, &mut *self.store)?;
        }
        match self.commit(&turn) {
            Ok(()) => self.accept(&mut turn),
            Err(CommitError::NoSpace(detail)) => {
                self.refuse(&mut turn, Rejection::NoSpace, &detail);
            }
            Err(CommitError::Busy(detail)) => {
                self.refuse(&mut turn, Rejection::StoreBusy, &detail);
            }
            // Memory must not run ahead of the disk, nor the disk of memory.
            Err(unknown @ CommitError::Unknown(_)) => return Err(unknown.into()),
        }
        let compacted = self.compaction.compacted();
        for reply in turn.snapshots {
            reply.give(Ok(Snapshot { list: self.list.clone(), compacted }));
        }
        for (start, notify, reply) in turn.watches {
            reply.give(self.watchers.add(start, notify, &self.list, compacted));
        }
        (self.hooks.turn_done)();
        Ok(())
    }

    fn commit(&mut self, turn: &Turn<F>) -> Result<(), CommitError> {
        if turn.batch.is_empty() {
            return Ok(());
        }
        self.store.commit(&turn.batch)?;
        if self.refusing.take().is_some() {
            log::info!("the store takes changes again");
        }
        Ok(())
    }

    fn accept(&mut self, turn: &mut Turn<F>) {
        self.list = turn.draft.clone();
        let changes = std::mem::take(&mut turn.batch.changes);
        if !changes.is_empty() {
            let now = Instant::now();
            self.watchers.take(changes, now);
            self.publish_unless_delivering(now);
            self.compaction.at(self.list.revision(), now);
        }
        turn.answer_mutations();
    }

    /// While watchers are still being served, what comes gathers, within limits.
    fn publish_unless_delivering(&mut self, now: Instant) {
        if self.watchers.may_gather(now) && (self.hooks.delivering)() {
            self.publish_at = Some(now + PUBLISH_CHECK);
        } else {
            self.watchers.publish();
            self.publish_at = None;
        }
    }

    fn refuse(&mut self, turn: &mut Turn<F>, why: Rejection, detail: &str) {
        turn.reject_mutations(&why);
        if self.refusing.as_ref() != Some(&why) {
            log::error!("changes are rejected until further notice: {detail}");
            self.refusing = Some(why);
        }
    }

    /// A few steps: more would hold up the turns.
    fn compact(&mut self) -> Result<(), Fatal> {
        for _ in 0..COMPACTION_STEPS_MAX {
            self.compaction_step()?;
            if self.compaction.next().is_none_or(|next| next > Instant::now()) {
                break;
            }
        }
        Ok(())
    }

    fn compaction_step(&mut self) -> Result<(), Fatal> {
        let head = self.list.revision();
        let due = self.compaction.due(head, (self.hooks.clock)());
        let compacted = match self.store.compact(&due) {
            Ok(compacted) => compacted,
            Err(CommitError::NoSpace(why) | CommitError::Busy(why)) => {
                log::warn!("history is not compacted for now: {why}");
                self.compaction.compacted()
            }
            Err(unknown @ CommitError::Unknown(_)) => return Err(unknown.into()),
        };
        self.compaction.stepped(compacted, head, Instant::now());
        Ok(())
    }
}
