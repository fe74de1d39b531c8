use std::collections::HashMap;
use std::sync::Arc;

use super::request_index::RequestIndex;
use super::{Mutate, Reply, StateError};
use crate::model::{
    Answer, Fingerprint, IdempotencyRecord, Rejection, Request, RequestId, TaskList, Timestamp,
};
use crate::store::{Batch, BatchLimits, Store, StoreError, StoreErrorKind};

/// Commands applied to a draft of the list, with the replies to give once their batch is
/// committed. The commands are kept, so that they can be applied again to a newer list.
pub(super) struct Transaction {
    pub(super) draft: TaskList,
    pub(super) batch: Batch,
    mutations: Vec<Drafted>,
    bytes: usize,
    /// Where in `batch.requests` each request of this batch is.
    requests: HashMap<RequestId, usize>,
}

/// A mutation on the draft.
struct Drafted {
    mutate: Mutate,
    result: Result<Answer, StateError>,
}

impl Transaction {
    pub(super) fn new(list: &TaskList, now: Timestamp) -> Transaction {
        Transaction {
            draft: list.clone(),
            batch: Batch { head: list.head(), at: now, ..Batch::default() },
            mutations: Vec::new(),
            bytes: 0,
            requests: HashMap::new(),
        }
    }

    pub(super) fn is_full(&self, limits: BatchLimits) -> bool {
        self.mutations.len() >= limits.commands || self.bytes >= limits.bytes
    }

    /// Whether no command was executed.
    pub(super) fn is_empty(&self) -> bool {
        self.mutations.is_empty()
    }

    /// Applies the command to the draft: later commands see what earlier ones did. A caller
    /// that no longer waits gets nothing executed.
    pub(super) fn apply(&mut self, mutate: Mutate, store: &mut dyn Store, index: &RequestIndex) {
        if mutate.reply.expired() {
            return mutate.reply.give(Err(StateError::Expired));
        }
        let result = self.execute(&mutate.request, store, index);
        self.mutations.push(Drafted { mutate, result });
    }

    fn execute(
        &mut self,
        request: &Request,
        store: &mut dyn Store,
        index: &RequestIndex,
    ) -> Result<Answer, StateError> {
        let Some(request_id) = &request.request_id else { return self.mutate(request) };
        let fingerprint = Fingerprint::new(request);
        let earlier = match self.requests.get(request_id) {
            Some(at) => self.batch.requests.get(*at).cloned(),
            None => find_request(request_id, store, index)?,
        };
        if let Some(earlier) = earlier {
            return match earlier.is_of(&fingerprint) {
                true => Ok(earlier.answer),
                false => Err(Rejection::RequestIdReused(request_id.as_str().to_owned()).into()),
            };
        }
        let answer = self.mutate(request)?;
        let request_id = request_id.clone();
        self.requests.insert(request_id.clone(), self.batch.requests.len());
        let answered = answer.clone();
        self.batch.requests.push(IdempotencyRecord { request_id, fingerprint, answer: answered });
        Ok(answer)
    }

    fn mutate(&mut self, request: &Request) -> Result<Answer, StateError> {
        let applied = self.draft.apply(request, self.batch.at)?;
        for change in applied.changes {
            self.bytes += change.weight();
            self.batch.changes.push(change.into());
        }
        self.batch.head = self.draft.head();
        debug_assert_eq!(
            self.batch.changes.last().map_or(self.batch.head.revision, |last| last.change.revision),
            self.batch.head.revision
        );
        Ok(applied.answer)
    }

    /// Gives every reply: the batch is committed, or there was nothing to commit.
    pub(super) fn reply(self) {
        for Drafted { mutate, result } in self.mutations {
            mutate.reply.give(result);
        }
    }

    /// Rejects every command. No-ops and rejections are dropped, too: they may depend on
    /// changes that were not committed.
    pub(super) fn reject(self, why: &StateError) {
        for Drafted { mutate, .. } in self.mutations {
            mutate.reply.give(Err(why.clone()));
        }
    }

    /// Replies that the outcome is unknown. The commands stay in the batch, whose outcome
    /// the store still finds out.
    pub(super) fn abandon(&mut self) {
        for Drafted { mutate, .. } in &mut self.mutations {
            let reply = std::mem::replace(&mut mutate.reply, Reply::none());
            reply.give(Err(StateError::OutcomeUnknown));
        }
    }

    /// The commands, to be applied again.
    pub(super) fn into_commands(self) -> impl DoubleEndedIterator<Item = Mutate> {
        self.mutations.into_iter().map(|drafted| drafted.mutate)
    }

    pub(super) fn shared_batch(&mut self) -> Arc<Batch> {
        Arc::new(std::mem::take(&mut self.batch))
    }
}

/// What an earlier batch answered to this request id. An answer that cannot be read
/// concerns its own caller only.
fn find_request(
    id: &RequestId,
    store: &mut dyn Store,
    index: &RequestIndex,
) -> Result<Option<IdempotencyRecord>, StateError> {
    for number in index.find(id) {
        match store.find_request(number) {
            Ok(Some(record)) if record.request_id == *id => return Ok(Some(record)),
            Ok(_) => {} // another id with the same hash
            Err(error) => return Err(unreadable(&error)),
        }
    }
    Ok(None)
}

fn unreadable(error: &StoreError) -> StateError {
    match error.kind {
        StoreErrorKind::Busy => StateError::StoreBusy,
        StoreErrorKind::NoSpace | StoreErrorKind::Damaged | StoreErrorKind::Failed => {
            log::error!("a request id cannot be looked up: {error}");
            StateError::Unreadable
        }
    }
}
