use grpcio::{Deadline, UnarySink};

use super::transport::CompletionQueue;
use crate::limits::LISTINGS_PENDING_BYTES_MAX;
use crate::model::Rejection;
use crate::rpc::{Encoded, status};

/// A call whose answer may be large.
pub struct LargeCall {
    pub sink: UnarySink<Encoded>,
    pub deadline: Deadline,
}

impl LargeCall {
    /// Completes the call, unless nobody waits for it or too much is on its way already.
    pub fn answer(
        self,
        completions: &CompletionQueue,
        answer: impl FnOnce() -> Result<Encoded, Rejection>,
    ) {
        let answer = if self.deadline.exceeded() {
            Err(Rejection::Expired)
        } else if completions.pending_bytes() > LISTINGS_PENDING_BYTES_MAX {
            Err(Rejection::ListingsPending)
        } else {
            answer()
        };
        match answer {
            Ok(answer) => completions.finish_large(self.sink, answer.as_bytes().len(), answer),
            Err(why) => self.refuse(why, completions),
        }
    }

    pub fn refuse(self, why: Rejection, completions: &CompletionQueue) {
        completions.finish(self.sink, move || Err(status(&why)));
    }
}
