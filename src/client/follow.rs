use std::time::Duration;
use std::{iter, mem};

use super::sequence::Sequence;
use super::stream::{self, Ask, Stream};
use super::{CallError, Client, Place, proto};
use crate::limits::WATCH_PROGRESS_INTERVAL;

/// A watch for programs that do not block: the list as it is, or what changed since a
/// place, then what comes. It needs `todod`. A new call of WatchTasks begins where the
/// one before ended, and only when it is asked for.
pub struct Follower {
    client: Client,
    filter: proto::Filter,
    sequence: Sequence,
    stream: Option<Stream>,
}

impl Client {
    /// Without a place, or if history after it is gone, it starts with RESET, SNAPSHOTs
    /// and SYNCED; else with the changes after the place, and SYNCED.
    pub fn follow(&self, filter: proto::Filter, after: Option<Place>) -> Follower {
        let sequence = Sequence::new(filter, after);
        Follower { client: self.clone(), filter, sequence, stream: None }
    }
}

impl Follower {
    /// The next updates: one or more, in order, proven to follow what came before. Waits
    /// for ever if the server is silent. After an error the next call connects anew.
    /// Giving up the wait loses nothing.
    pub async fn next(&mut self) -> Result<Vec<proto::TaskUpdate>, CallError> {
        let next = match &mut self.stream {
            Some(stream) => stream.next().await,
            None => self.open()?.next().await,
        };
        let updates = next.and_then(|message| self.take(message));
        if updates.is_err() {
            self.stream = None;
        }
        updates
    }

    /// Up to where everything was returned; `None` before that is known, and from RESET
    /// to SYNCED.
    pub fn place(&self) -> Option<&Place> {
        self.sequence.place.as_ref()
    }

    /// Ends the call of a server that was silent for so long. Returns what to say of it.
    pub fn give_up(&mut self, silence: Duration) -> CallError {
        self.stream = None;
        stream::silent(&self.client, silence)
    }

    fn open(&mut self) -> Result<&mut Stream, CallError> {
        let ask = Ask {
            filter: self.filter,
            after: self.sequence.place.as_ref(),
            snapshot: true,
            progress: WATCH_PROGRESS_INTERVAL,
        };
        Ok(self.stream.insert(Stream::open(&self.client, &ask)?))
    }

    /// All that a message holds, or nothing of it: what is not returned is no part of
    /// the place.
    fn take(
        &mut self,
        mut message: proto::TaskUpdate,
    ) -> Result<Vec<proto::TaskUpdate>, CallError> {
        let more = mem::take(&mut message.more);
        let updates: Vec<_> = iter::once(message).chain(more).collect();
        let mut sequence = self.sequence.clone();
        for update in &updates {
            sequence.take(update).map_err(|why| stream::disordered(&self.client, &why))?;
        }
        self.sequence = sequence;
        Ok(updates)
    }
}
