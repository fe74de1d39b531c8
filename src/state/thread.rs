use std::time::Instant;

use crossbeam_channel::{Receiver, select};

use super::command::Control;
use super::turn::Turn;
use super::watchers::Watchers;
use super::{Command, Fatal, Hooks};
use crate::limits::TURN_COMMANDS_MAX;
use crate::model::{Rejection, TaskList};
use crate::store::{CommitError, Store};

enum Event<F> {
    Command(Command<F>),
    Control(Control),
    /// A watcher's time is over.
    Tick,
    /// Nobody is left who could send anything.
    Abandoned,
}

/// The state thread's own: nobody else touches any of it.
pub(super) struct State<F> {
    pub(super) list: TaskList,
    pub(super) store: Box<dyn Store>,
    pub(super) watchers: Watchers<F>,
    pub(super) commands: Receiver<Command<F>>,
    pub(super) control: Receiver<Control>,
    pub(super) hooks: Hooks<F>,
    /// Why the store took nothing the last time. The log says when that begins and
    /// ends, not once a turn: it may be on the disk that is full.
    pub(super) refusing: Option<Rejection>,
}

impl<F: Clone> State<F> {
    /// Runs until told to stop, or until a failure makes it unsafe to go on: then
    /// the store is left alone.
    pub(super) fn run(mut self) -> Result<(), Fatal> {
        let served = self.serve();
        for queued in self.commands.try_iter() {
            queued.reject(Rejection::OutcomeUnknown);
        }
        self.watchers.end_all(&Rejection::ShuttingDown);
        (self.hooks.turn_done)();
        served?;
        Ok(self.store.close()?)
    }

    fn serve(&mut self) -> Result<(), Fatal> {
        loop {
            match self.next_event() {
                Event::Command(first) => self.turn(first)?,
                Event::Control(Control::Unwatch(id)) => self.watchers.remove(id),
                Event::Tick => {
                    self.watchers.remind(Instant::now());
                    (self.hooks.turn_done)();
                }
                Event::Control(Control::Stop) | Event::Abandoned => break,
            }
        }
        while let Ok(queued) = self.commands.try_recv() {
            self.turn(queued)?;
        }
        Ok(())
    }

    fn next_event(&self) -> Event<F> {
        select! {
            recv(self.commands) -> command => command.map_or(Event::Abandoned, Event::Command),
            recv(self.watchers.next_reminder()) -> _ => Event::Tick,
            recv(self.control) -> control => control.map_or(Event::Abandoned, Event::Control),
        }
    }

    /// Drain, apply to a draft, commit, publish, reply.
    fn turn(&mut self, first: Command<F>) -> Result<(), Fatal> {
        let mut turn = Turn::new(&self.list, (self.hooks.clock)());
        turn.apply(first, &mut *self.store)?;
        for command in self.commands.try_iter().take(TURN_COMMANDS_MAX - 1) {
            turn.apply(command, &mut *self.store)?;
        }
        match self.commit(&turn) {
            Ok(()) => {
                self.list = turn.draft.clone();
                self.watchers.publish(&turn.batch.changes);
                turn.answer_mutations();
            }
            Err(CommitError::NoSpace(detail)) => {
                self.refuse(&mut turn, Rejection::NoSpace, &detail);
            }
            Err(CommitError::Busy(detail)) => {
                self.refuse(&mut turn, Rejection::StoreBusy, &detail);
            }
            // Memory must not run ahead of the disk, nor the disk of memory.
            Err(unknown @ CommitError::Unknown(_)) => return Err(unknown.into()),
        }
        for reply in turn.snapshots {
            reply.give(Ok(self.list.clone()));
        }
        for (start, notify, reply) in turn.watches {
            reply.give(self.watchers.add(start, notify, &self.list));
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

    fn refuse(&mut self, turn: &mut Turn<F>, why: Rejection, detail: &str) {
        turn.reject_mutations(&why);
        if self.refusing.as_ref() != Some(&why) {
            log::error!("changes are rejected until further notice: {detail}");
            self.refusing = Some(why);
        }
    }
}
