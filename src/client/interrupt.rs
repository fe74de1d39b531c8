use std::future::Future;
use std::sync::Arc;

use futures_executor::block_on;
use futures_util::future::{AbortHandle, Abortable};
use parking_lot::Mutex;

use super::{CallError, Code};

/// Stops a client's calls from another thread: the running one, and all others until
/// [`Interrupt::clear`]. The client must make one call at a time.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    raised: bool,
    running: Option<AbortHandle>,
}

impl Interrupt {
    /// Ends the running call and every later one with CANCELLED.
    pub fn raise(&self) {
        let mut state = self.0.lock();
        state.raised = true;
        if let Some(call) = state.running.take() {
            call.abort();
        }
    }

    /// Allows calls again.
    pub fn clear(&self) {
        self.0.lock().raised = false;
    }

    /// Waits for a call, or for the interrupt.
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
