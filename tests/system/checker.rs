//! Compares what a watcher received with the server's change log: the promises of the wire
//! contract, one by one, written independently of the server's code.

use std::fmt::Debug;

use grpcio::RpcStatusCode as Code;
use protobuf::Message;
use todo::limits::{PACKED_BYTES_MAX, UPDATES_PER_MESSAGE_MAX};
use todo::wire::proto::*;

use crate::change_log::Log;

/// What one call of WatchTasks received.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    pub request: WatchTasksRequest,
    /// A revision that the list had when the call was made, or an earlier one.
    pub called_at: i64,
    /// In the order received, with their `more`.
    pub messages: Vec<TaskUpdate>,
    /// The status that the server ended it with; `None`: the client ended it.
    pub end: Option<(Code, String)>,
}

/// A promise that was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// A change that concerns the filter is missing.
    Gap,
    /// An update at or below the position of the stream.
    Again,
    /// An update that differs from the log.
    Altered,
    /// A `previous_revision` that does not prove that nothing is missing.
    Previous,
    /// An update that does not concern the filter.
    NotConcerned,
    /// A mark that was not requested, or is out of position.
    MisplacedMark,
    /// A mark with fields that it must not have.
    MarkFields,
    /// The snapshot differs from the list.
    Snapshot,
    /// A snapshot although the history was kept.
    NeedlessReset,
    /// SYNCED before everything up to the time of the call was sent.
    SyncedEarly,
    /// PROGRESS below the position of the stream.
    ProgressBack,
    /// A mark of a revision that the list never had.
    FromTheFuture,
    /// A message with more updates or bytes than requested or allowed.
    Packing,
    /// A status without a cause.
    End,
}

pub type Broken = (Violation, String);

fn broken<T>(what: Violation, found: impl Debug) -> Result<T, Broken> {
    Err((what, format!("{found:?}")))
}

impl Log {
    /// Checks a recording that must reach a revision.
    pub fn check_up_to(&self, recording: &Recording, up_to: i64) -> Result<i64, Broken> {
        let position = self.check(recording)?;
        let filter = recording.request.filter.unwrap();
        match self.next_concerning(filter, position, up_to) {
            Some(missing) => broken(Violation::Gap, format!("{missing} after {position}")),
            None => Ok(position),
        }
    }

    /// Checks a recording. Returns the revision up to which it is complete.
    pub fn check(&self, recording: &Recording) -> Result<i64, Broken> {
        for message in &recording.messages {
            check_packing(&recording.request, message)?;
        }
        let mut replay = Replay::new(self, recording);
        for message in &recording.messages {
            replay.update(message)?;
            message.more.iter().try_for_each(|update| replay.update(update))?;
        }
        replay.end()
    }
}

fn is_mark(update: &TaskUpdate) -> bool {
    matches!(&*update.action, "RESET" | "SNAPSHOT" | "SYNCED" | "PROGRESS")
}

fn check_packing(request: &WatchTasksRequest, message: &TaskUpdate) -> Result<(), Broken> {
    let updates_max = usize::try_from(request.max_updates_per_message).unwrap().max(1);
    let updates = 1 + message.more.len();
    let bytes = message.compute_size() as usize;
    if updates > updates_max.min(UPDATES_PER_MESSAGE_MAX) {
        return broken(Violation::Packing, format!("{updates} updates"));
    }
    if message.more.is_empty() {
        return Ok(());
    }
    if bytes > PACKED_BYTES_MAX {
        return broken(Violation::Packing, format!("{bytes} bytes"));
    }
    // All of one kind: changes, or tasks of a snapshot.
    let is_packable = |update: &TaskUpdate| match &*message.action {
        "SNAPSHOT" => update.action == "SNAPSHOT",
        _ => !is_mark(update),
    };
    let packable = |more: &TaskUpdate| is_packable(more) && more.more.is_empty();
    if !is_packable(message) || !message.more.iter().all(packable) {
        return broken(Violation::Packing, message);
    }
    Ok(())
}

/// A recording, update by update.
struct Replay<'a> {
    log: &'a Log,
    recording: &'a Recording,
    filter: Filter,
    /// Everything up to this revision was sent; `None`: it is not known yet where the stream
    /// started.
    position: Option<i64>,
    /// The last revision that the client received; `None` if it received none.
    received: Option<i64>,
    /// The tasks of a snapshot, until something follows it.
    snapshot: Option<Vec<Task>>,
    synced: bool,
    /// Whether nothing was received yet.
    is_first: bool,
}

impl<'a> Replay<'a> {
    fn new(log: &'a Log, recording: &'a Recording) -> Replay<'a> {
        let filter = recording.request.filter.unwrap();
        let position = recording.request.after_revision;
        Replay {
            log,
            recording,
            filter,
            position,
            received: position,
            snapshot: None,
            synced: false,
            is_first: true,
        }
    }

    fn update(&mut self, update: &TaskUpdate) -> Result<(), Broken> {
        let request = &self.recording.request;
        let is_first = std::mem::replace(&mut self.is_first, false);
        let snapshot_only = request.snapshot && request.after_revision.is_none();
        if is_first && snapshot_only && update.action != "RESET" {
            return broken(Violation::MisplacedMark, update);
        }
        match &*update.action {
            "RESET" if is_first && request.snapshot => self.reset(update),
            "SNAPSHOT" => self.task(update),
            "SYNCED" => self.synced(update),
            "PROGRESS" if request.progress_interval_ms > 0 => self.progress(update),
            "RESET" | "PROGRESS" => broken(Violation::MisplacedMark, update),
            _ => self.change(update),
        }
    }

    fn reset(&mut self, update: &TaskUpdate) -> Result<(), Broken> {
        let request = &self.recording.request;
        if *update != (TaskUpdate { action: "RESET".to_owned(), ..Default::default() }) {
            return broken(Violation::MarkFields, update);
        }
        if let Some(after) = request.after_revision {
            let this_list = request.list_id.is_empty() || request.list_id == self.log.list_id;
            if this_list && (self.log.compacted..=self.recording.called_at).contains(&after) {
                return broken(Violation::NeedlessReset, request);
            }
        }
        (self.position, self.received) = (None, None);
        self.snapshot = Some(Vec::new());
        Ok(())
    }

    fn task(&mut self, update: &TaskUpdate) -> Result<(), Broken> {
        let Some(tasks) = &mut self.snapshot else {
            return broken(Violation::MisplacedMark, update);
        };
        let Some(task) = update.task.as_ref() else {
            return broken(Violation::MarkFields, update);
        };
        let expected = TaskUpdate {
            action: "SNAPSHOT".to_owned(),
            task: Some(task.clone()).into(),
            more: update.more.clone(),
            ..Default::default()
        };
        if *update != expected {
            return broken(Violation::MarkFields, update);
        }
        tasks.push(task.clone());
        Ok(())
    }

    fn synced(&mut self, update: &TaskUpdate) -> Result<(), Broken> {
        let request = &self.recording.request;
        let asked = request.snapshot || request.after_revision.is_some();
        if !asked || self.synced {
            return broken(Violation::MisplacedMark, update);
        }
        self.synced = true;
        let expected = TaskUpdate {
            action: "SYNCED".to_owned(),
            revision: update.revision,
            list_id: self.log.list_id.clone(),
            ..Default::default()
        };
        if *update != expected {
            return broken(Violation::MarkFields, update);
        }
        if update.revision < self.recording.called_at {
            let called_at = self.recording.called_at;
            return broken(Violation::SyncedEarly, format!("{update:?}, called at {called_at}"));
        }
        self.end_of_snapshot(update.revision)?;
        self.mark(update)
    }

    fn progress(&mut self, update: &TaskUpdate) -> Result<(), Broken> {
        let revision = update.revision;
        let expected = TaskUpdate { action: "PROGRESS".to_owned(), revision, ..Default::default() };
        if *update != expected {
            return broken(Violation::MarkFields, update);
        }
        self.end_of_snapshot(revision)?;
        self.mark(update)
    }

    /// A mark says that everything up to its revision was sent.
    fn mark(&mut self, update: &TaskUpdate) -> Result<(), Broken> {
        let revision = update.revision;
        if revision > self.log.newest() {
            return broken(Violation::FromTheFuture, update);
        }
        let position = self.position.unwrap_or(revision);
        if revision < position || (self.position.is_none() && revision < self.recording.called_at) {
            return broken(Violation::ProgressBack, format!("{update:?} at {position}"));
        }
        if let Some(missing) = self.log.next_concerning(self.filter, position, revision) {
            return broken(Violation::Gap, format!("{missing} before {update:?}"));
        }
        (self.position, self.received) = (Some(revision), Some(revision));
        Ok(())
    }

    fn change(&mut self, update: &TaskUpdate) -> Result<(), Broken> {
        let revision = update.revision;
        if !self.log.is_change(update) {
            return broken(Violation::Altered, (update, self.log.change(revision)));
        }
        self.end_of_snapshot(revision - 1)?;
        // A watch from now on starts some time after the call.
        let position =
            self.position.unwrap_or_else(|| (revision - 1).max(self.recording.called_at));
        if revision <= position {
            return broken(Violation::Again, format!("{revision} at {position}"));
        }
        if !self.log.concerns(self.filter, revision) {
            return broken(Violation::NotConcerned, update);
        }
        if let Some(missing) = self.log.next_concerning(self.filter, position, revision - 1) {
            return broken(Violation::Gap, format!("{missing} before {revision}"));
        }
        self.proves_completeness(update)?;
        (self.position, self.received) = (Some(revision), Some(revision));
        Ok(())
    }

    /// The client at a revision accepts the update, and its `previous_revision` is true.
    fn proves_completeness(&self, update: &TaskUpdate) -> Result<(), Broken> {
        let (previous, revision) = (update.previous_revision, update.revision);
        let is_accepted = self.received.is_none_or(|received| previous <= received);
        let missing = self.log.next_concerning(self.filter, previous, revision - 1);
        match previous < revision && is_accepted && missing.is_none() {
            true => Ok(()),
            false => broken(Violation::Previous, (update, self.received, missing)),
        }
    }

    /// A snapshot is the list at a revision, and what follows continues from there.
    fn end_of_snapshot(&mut self, revision: i64) -> Result<(), Broken> {
        let Some(tasks) = self.snapshot.take() else { return Ok(()) };
        let list = self.log.tasks_at(revision, self.filter);
        if tasks != list {
            let differ = tasks.iter().zip(&list).find(|(sent, listed)| sent != listed);
            let found = format!("{} of {} at {revision}: {differ:?}", tasks.len(), list.len());
            return broken(Violation::Snapshot, found);
        }
        self.position = Some(revision);
        Ok(())
    }

    fn end(self) -> Result<i64, Broken> {
        let Recording { request, end, called_at, .. } = self.recording;
        // In the middle of a snapshot there is no position to resume from.
        let position = match (self.position, &self.snapshot) {
            (Some(position), None) => position,
            _ => 0,
        };
        match end {
            Some((Code::OUT_OF_RANGE, why)) => {
                let asked = request.after_revision.unwrap_or(position);
                let is_gone =
                    asked.max(position) < self.log.compacted && why.contains("was compacted");
                let is_other = !request.list_id.is_empty() && request.list_id != self.log.list_id;
                let is_refused = self.is_first && (is_other || asked > *called_at);
                match is_gone || is_refused {
                    true => Ok(position),
                    false => broken(Violation::End, end),
                }
            }
            // CANCELLED: the reason could not be sent to a client that does not read.
            Some((Code::UNAVAILABLE | Code::RESOURCE_EXHAUSTED | Code::CANCELLED, _)) | None => {
                Ok(position)
            }
            Some(_) => broken(Violation::End, end),
        }
    }
}

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;
