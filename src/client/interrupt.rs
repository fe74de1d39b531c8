use std::future::Future;
use std::sync::Arc;

use futures_executor::block_on;
use futures_util::future::{AbortHandle, Abortable};
use parking_lot::Mutex;

use super::{CallError, Code};

/// Stops a client's calls from another thread: the one that runs, and those made
/// until [`Interrupt::clear`]. For a client that makes one call at a time.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    raised: bool,
    running: Option<AbortHandle>,
}

impl Interrupt {
    /// The call that runs ends with CANCELLED, and so does every later one.
    pub fn raise(&self) {
        let mut state = self.0.lock();
        state.raised = true;
        if let Some(call) = state.running.take() {
            call.abort();
        }
    }

    /// Calls are made again.
    pub fn clear(&self) {
        self.0.lock().raised = false;
    }

    pub(super) fn block_on<T>(
        &self,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let interrupted = || CallError::new(Code::Cancelled, "interrupted before the answer came");
        let (abort, registration) = AbortHandle::new_pair();
        {
            let mut state = self.0.lock();
            if state.raised {
                return Err(interrupted());
            }
            state.running = Some(abort);
        }
        let answer = block_on(Abortable::new(call, registration));
        self.0.lock().running = None;
        answer.unwrap_or_else(|_| Err(interrupted()))
    }
}
