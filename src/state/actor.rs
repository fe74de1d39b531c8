use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::command::{Command, Mutate, Reply, Watch};
use super::published::{Published, PublishedList};
use super::request_index::{RequestIndex, RequestRetention};
use super::retention::{Compaction, Trash};
use super::subscription::WatcherId;
use super::transaction::Transaction;
use super::watchers::Watchers;
use super::{Fatal, Hooks, StateError};
use crate::limits::{
    COMPACTION_STEPS_MAX, UNREACHABLE_ABANDONS, UNREACHABLE_ENDS_WATCHES, UNREACHABLE_REFUSES,
};
use crate::model::{Filter, TaskList};
use crate::store::{self, Batch, Store, StoreError, StoreErrorKind};

/// What the state thread reacts to.
pub(super) enum Event {
    /// In the order in which they were sent.
    Commands(VecDeque<Command>),
    Store(store::Event),
    /// The stream of this watch has ended.
    Closed(Filter, WatcherId),
    /// The store may have an event.
    StoreReady,
    /// Something may be due.
    Deadline,
}

/// What the state thread owns: nobody else touches any of it. It has no thread, channel or
/// clock of its own, so that tests can drive several over one log.
pub(super) struct State {
    /// The list as it is in the log, up to the store's position. Memory never runs ahead.
    list: TaskList,
    store: Box<dyn Store>,
    requests: RequestIndex,
    published: PublishedList,
    watchers: Watchers,
    compaction: Compaction,
    trash: Trash,
    hooks: Hooks,
    /// Mutations that are in no batch yet.
    waiting: VecDeque<Mutate>,
    /// The proposed batch, until the store settles it.
    in_flight: Option<Proposal>,
    /// Reads that wait for the next barrier.
    reads: Vec<Read>,
    /// Reads that wait for the barrier that was requested.
    at_barrier: Vec<Read>,
    /// Whether that barrier has yet to pass. The reads may have been refused meanwhile.
    awaits_barrier: bool,
    /// Since when the store cannot reach its log, and when that had its last consequence.
    unreachable: Option<(Instant, Instant)>,
    /// Why the store accepted nothing the last time. The log reports when that begins and
    /// ends, not each time: it may be on the disk that is full.
    refusing: Option<StoreErrorKind>,
}

/// A batch that the store has, and what becomes of it.
struct Proposal {
    transaction: Transaction,
    batch: Arc<Batch>,
}

/// What is answered from the list once that is known to be current.
enum Read {
    Barrier(Reply<()>),
    Watch(Watch),
    /// Mutations that changed nothing: their answers are reads.
    Unchanged(Transaction),
}

impl State {
    pub(super) fn new(
        list: TaskList,
        store: Box<dyn Store>,
        requests: RequestIndex,
        published: PublishedList,
        watchers: Watchers,
        (compaction, trash): (Compaction, Trash),
        hooks: Hooks,
    ) -> State {
        State {
            list,
            store,
            requests,
            published,
            watchers,
            compaction,
            trash,
            hooks,
            waiting: VecDeque::new(),
            in_flight: None,
            reads: Vec::new(),
            at_barrier: Vec::new(),
            awaits_barrier: false,
            unreachable: None,
            refusing: None,
        }
    }

    /// Handles the event, and every event of the store that follows from it.
    pub(super) fn step(&mut self, event: Event, now: Instant) -> Result<(), Fatal> {
        self.handle(event, now)?;
        loop {
            self.propose_next(now)?;
            self.request_barrier();
            match self.store.next()? {
                Some(event) => self.handle(Event::Store(event), now)?,
                None => break,
            }
        }
        (self.hooks.flush)();
        Ok(())
    }

    fn handle(&mut self, event: Event, now: Instant) -> Result<(), Fatal> {
        match event {
            Event::Commands(commands) => self.take(commands, now),
            Event::Store(store::Event::Committed) => self.accept(now),
            Event::Store(store::Event::Entry(batch)) => self.replay(&batch, now),
            Event::Store(store::Event::Conflict) => self.requeue(),
            Event::Store(store::Event::Refused(why)) => self.refuse(&why, now),
            Event::Store(store::Event::BarrierPassed) => {
                self.awaits_barrier = false;
                self.answer_reads(now);
            }
            Event::Store(store::Event::Unreachable { since, reason }) => {
                log::error!("the log cannot be reached: {reason}");
                self.unreachable = Some((since, since));
            }
            Event::Store(store::Event::Reachable) => {
                log::info!("the log can be reached again");
                self.unreachable = None;
            }
            Event::Closed(filter, id) => self.watchers.remove(&filter, id),
            Event::StoreReady => {}
            Event::Deadline => self.on_deadline(now)?,
        }
        Ok(())
    }

    fn take(&mut self, commands: VecDeque<Command>, now: Instant) {
        for command in commands {
            match command {
                _ if self.refuses_calls(now) => command.reject(StateError::Unreachable),
                Command::Mutate(mutate) => self.waiting.push_back(mutate),
                Command::Barrier { reply } => self.reads.push(Read::Barrier(reply)),
                Command::Watch(watch) if watch.reply.expired() => {
                    watch.reply.give(Err(StateError::Expired));
                }
                Command::Watch(watch) => self.reads.push(Read::Watch(watch)),
            }
        }
        if self.store.is_sole_writer() && self.in_flight.is_none() {
            self.at_barrier.append(&mut self.reads);
            self.answer_reads(now);
        }
    }

    /// Whether commands are worth taking: they wait in their queue while a batch is in
    /// flight, so that the queue's limit holds.
    pub(super) fn takes_commands(&self, now: Instant) -> bool {
        self.in_flight.is_none() || self.refuses_calls(now)
    }

    pub(super) fn batch_commands_max(&self) -> usize {
        self.store.batch_limits().commands
    }

    /// Drafts the next batch and proposes it, unless one is in flight.
    fn propose_next(&mut self, now: Instant) -> Result<(), Fatal> {
        while self.in_flight.is_none() && !self.waiting.is_empty() {
            let limits = self.store.batch_limits();
            let mut transaction = Transaction::new(&self.list, (self.hooks.clock)());
            while !transaction.is_full(limits)
                && let Some(mutate) = self.waiting.pop_front()
            {
                transaction.apply(mutate, &mut *self.store, &self.requests);
            }
            if transaction.is_empty() {
                continue;
            }
            if transaction.batch.is_empty() {
                self.reads.push(Read::Unchanged(transaction));
                if self.store.is_sole_writer() {
                    self.at_barrier.append(&mut self.reads);
                    self.answer_reads(now);
                }
                continue;
            }
            transaction.batch.forget_requests =
                self.requests.forget_due(transaction.batch.at, &RequestRetention::default());
            let batch = transaction.shared_batch();
            debug_assert_eq!(batch.after(), self.list.revision());
            self.store.propose(batch.clone());
            self.in_flight = Some(Proposal { transaction, batch });
        }
        Ok(())
    }

    /// The proposal is the next entry of the log: the draft is the list.
    fn accept(&mut self, now: Instant) {
        debug_assert!(self.in_flight.is_some(), "only a proposal is committed");
        let Some(Proposal { transaction, batch }) = self.in_flight.take() else { return };
        if self.refusing.take().is_some() {
            log::info!("the store accepts changes again");
        }
        self.list = transaction.draft.clone();
        self.publish(&batch, now);
        transaction.reply();
    }

    /// Another server's entry is the next one.
    fn replay(&mut self, batch: &Arc<Batch>, now: Instant) {
        for recorded in &batch.changes {
            self.list.replay(&recorded.change);
        }
        self.publish(batch, now);
    }

    /// The list has moved: publishes it, then what changed, before replies leave.
    fn publish(&mut self, batch: &Arc<Batch>, now: Instant) {
        debug_assert_eq!(self.list.revision(), batch.head.revision);
        for record in &batch.requests {
            self.requests.push(&record.request_id, batch.at);
        }
        self.requests.forget(batch.forget_requests);
        if batch.changes.is_empty() {
            return;
        }
        self.publish_list();
        self.watchers.publish(batch, now);
        self.compaction.reached(self.list.revision(), now);
        batch.changes.iter().for_each(|recorded| self.trash.record(&recorded.change));
        self.trash.schedule(batch.at, now);
    }

    fn publish_list(&self) {
        let compacted = self.compaction.compacted();
        self.published.store(Published { list: self.list.clone(), compacted });
    }

    /// Another server was first: applies the commands again, to the newer list.
    fn requeue(&mut self) {
        let Some(Proposal { transaction, .. }) = self.in_flight.take() else { return };
        for mutate in transaction.into_commands().rev() {
            self.waiting.push_front(mutate);
        }
    }

    /// The store accepts nothing for now.
    fn refuse(&mut self, why: &StoreError, now: Instant) {
        let Some(Proposal { transaction, .. }) = self.in_flight.take() else { return };
        let rejection = match why.kind {
            StoreErrorKind::Busy => StateError::StoreBusy,
            StoreErrorKind::NoSpace | StoreErrorKind::Damaged | StoreErrorKind::Failed => {
                StateError::NoSpace
            }
        };
        transaction.reject(&rejection);
        self.trash.postpone(now);
        if self.refusing != Some(why.kind) {
            log::error!("changes are rejected until further notice: {why}");
            self.refusing = Some(why.kind);
        }
    }

    /// One barrier at a time, for all reads that wait.
    fn request_barrier(&mut self) {
        if !self.awaits_barrier && !self.reads.is_empty() {
            debug_assert!(self.at_barrier.is_empty(), "they wait for no barrier");
            self.at_barrier = std::mem::take(&mut self.reads);
            self.awaits_barrier = true;
            self.store.request_barrier();
        }
    }

    /// The list is current as of the barrier.
    fn answer_reads(&mut self, now: Instant) {
        let mut outdated = Vec::new();
        for read in std::mem::take(&mut self.at_barrier) {
            match read {
                Read::Barrier(reply) => reply.give(Ok(())),
                Read::Watch(Watch { start, notify, reply }) => {
                    let published = self.published.load();
                    reply.give(self.watchers.add(start, notify, &published, now));
                }
                Read::Unchanged(transaction)
                    if transaction.draft.revision() == self.list.revision() =>
                {
                    transaction.reply();
                }
                Read::Unchanged(transaction) => outdated.extend(transaction.into_commands()),
            }
        }
        // Applied again, to the newer list, in their order.
        for mutate in outdated.into_iter().rev() {
            self.waiting.push_front(mutate);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let unreachable = self.unreachable.map(|(since, last)| {
            let steps = [UNREACHABLE_REFUSES, UNREACHABLE_ABANDONS, UNREACHABLE_ENDS_WATCHES];
            steps.into_iter().map(|after| since + after).filter(|at| *at > last).min()
        });
        let due = [
            self.watchers.next_due(),
            self.compaction.next(),
            self.trash.next(),
            self.store.next_deadline(),
            unreachable.flatten(),
        ];
        due.into_iter().flatten().min()
    }

    fn on_deadline(&mut self, now: Instant) -> Result<(), Fatal> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.store.next_deadline()) {
            self.store.on_deadline(now)?;
        }
        self.when_unreachable(now);
        self.watchers.on_deadline(self.list.revision(), now);
        if is_due(self.compaction.next()) {
            self.compact(now)?;
        }
        if is_due(self.trash.next()) {
            self.purge_trash(now);
        }
        Ok(())
    }

    fn refuses_calls(&self, now: Instant) -> bool {
        self.unreachable.is_some_and(|(since, _)| since + UNREACHABLE_REFUSES <= now)
    }

    /// Callers do not wait for a log that stays out of reach. What is in flight stays so.
    fn when_unreachable(&mut self, now: Instant) {
        let Some((since, last)) = &mut self.unreachable else { return };
        *last = now;
        let since = *since;
        if since + UNREACHABLE_REFUSES <= now {
            for mutate in self.waiting.drain(..) {
                mutate.reply.give(Err(StateError::Unreachable));
            }
            for read in self.reads.drain(..).chain(self.at_barrier.drain(..)) {
                match read {
                    Read::Barrier(reply) => reply.give(Err(StateError::Unreachable)),
                    Read::Watch(watch) => watch.reply.give(Err(StateError::Unreachable)),
                    Read::Unchanged(transaction) => transaction.reject(&StateError::Unreachable),
                }
            }
        }
        if since + UNREACHABLE_ABANDONS <= now
            && let Some(proposal) = &mut self.in_flight
        {
            proposal.transaction.abandon();
        }
        if since + UNREACHABLE_ENDS_WATCHES <= now {
            self.watchers.cut_off_all(&StateError::Unreachable, now);
        }
    }

    /// A few steps: more would hold up the batches.
    fn compact(&mut self, now: Instant) -> Result<(), Fatal> {
        let before = self.compaction.compacted();
        for _ in 0..COMPACTION_STEPS_MAX {
            let head = self.list.revision();
            let due = self.compaction.due(head, (self.hooks.clock)());
            let compacted = match self.store.compact(&due) {
                Ok(compacted) => compacted,
                Err(why) if why.kind == StoreErrorKind::Failed => return Err(why.into()),
                Err(why) => {
                    log::warn!("history is not compacted for now: {why}");
                    self.compaction.postpone(now);
                    break;
                }
            };
            self.compaction.advanced(compacted, head, now);
            if self.compaction.next().is_none_or(|next| next > now) {
                break;
            }
        }
        if self.compaction.compacted() != before {
            self.publish_list();
        }
        Ok(())
    }

    /// One step. The next one follows from the changes of this one.
    fn purge_trash(&mut self, now: Instant) {
        let clock = (self.hooks.clock)();
        let revision_of = |id| self.list.get(id).ok().map(|task| task.revision);
        let due = self.trash.due(clock, revision_of);
        self.trash.begin_step(clock, now);
        let purges = due.into_iter().map(|request| Mutate { request, reply: Reply::none() });
        self.waiting.extend(purges);
    }

    /// Whether nothing waits for the store.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_none()
            && self.waiting.is_empty()
            && self.reads.is_empty()
            && self.at_barrier.is_empty()
    }

    /// Ends the watches. The outcome of commands that are left is unknown to their callers.
    pub(super) fn end(&mut self) {
        self.in_flight = None;
        self.waiting.clear();
        self.reads.clear();
        self.at_barrier.clear();
        self.watchers.end_all(&StateError::ShuttingDown);
        (self.hooks.flush)();
    }

    pub(super) fn into_store(self) -> Box<dyn Store> {
        self.store
    }

    pub(super) fn store_ready(&self) -> &crossbeam_channel::Receiver<()> {
        self.store.ready()
    }
}

#[cfg(test)]
impl State {
    pub(super) fn set_clock(&mut self, clock: fn() -> crate::model::Timestamp) {
        self.hooks.clock = clock;
    }

    pub(super) fn published(&self) -> Arc<Published> {
        self.published.load()
    }
}
