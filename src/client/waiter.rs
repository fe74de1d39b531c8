use std::future::{self, Future};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Blocks a thread on one future at a time: to a deadline, since the transport has no
/// timers, and until another thread says stop.
#[derive(Default)]
pub(super) struct Waiter {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_woken: bool,
    is_stopped: bool,
}

/// Why the future's output was not waited for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The deadline passed.
    Late,
    Stopped,
}

impl Waiter {
    /// Ends the wait, and every later one.
    pub(super) fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.changed.notify_all();
    }

    /// Without a deadline it waits as long as it takes.
    pub(super) fn block_on<F: Future>(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        future: F,
    ) -> Result<F::Output, Cut> {
        let mut future = pin!(future);
        let waker = Waker::from(self.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Ok(output);
            }
            self.sleep_until_woken(deadline)?;
        }
    }

    /// Returns whether nobody said stop meanwhile.
    pub(super) fn sleep(self: &Arc<Self>, time: Duration) -> bool {
        let woken: Result<(), Cut> = self.block_on(Some(Instant::now() + time), future::pending());
        woken == Err(Cut::Late)
    }

    fn sleep_until_woken(&self, deadline: Option<Instant>) -> Result<(), Cut> {
        let mut state = self.state.lock();
        loop {
            if state.is_stopped {
                return Err(Cut::Stopped);
            }
            if state.is_woken {
                // Before the next poll: a wake during it counts.
                state.is_woken = false;
                return Ok(());
            }
            match deadline {
                Some(deadline) if Instant::now() >= deadline => return Err(Cut::Late),
                Some(deadline) => drop(self.changed.wait_until(&mut state, deadline)),
                None => self.changed.wait(&mut state),
            }
        }
    }
}

impl Wake for Waiter {
    fn wake(self: Arc<Self>) {
        self.state.lock().is_woken = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use crossbeam_channel::bounded;
    use futures_util::StreamExt;
    use futures_util::stream::FuturesUnordered;

    use super::*;

    fn soon() -> Option<Instant> {
        Some(Instant::now() + Duration::from_millis(20))
    }

    #[test]
    fn what_is_ready_is_not_waited_for() {
        let waiter = Arc::new(Waiter::default());
        assert_eq!(waiter.block_on(Some(Instant::now()), future::ready(7)), Ok(7));
    }

    #[test]
    fn a_wake_from_another_thread_ends_the_wait() {
        let waiter = Arc::new(Waiter::default());
        let (sender, receiver) = bounded::<Waker>(1);
        let waking = thread::spawn(move || receiver.recv().unwrap().wake());
        let mut polls = 0;
        let future = future::poll_fn(|context| {
            polls += 1;
            if polls == 2 {
                return Poll::Ready(());
            }
            sender.send(context.waker().clone()).unwrap();
            Poll::Pending
        });
        assert_eq!(waiter.block_on(None, future), Ok(()));
        waking.join().unwrap();
    }

    #[test]
    fn the_deadline_passes_and_the_next_wait_is_another() {
        let waiter = Arc::new(Waiter::default());
        let mut never = FuturesUnordered::from_iter([future::pending::<()>()]);
        assert_eq!(waiter.block_on(soon(), never.next()), Err(Cut::Late));
        assert!(waiter.sleep(Duration::from_millis(1)));
        assert_eq!(waiter.block_on(None, future::ready(7)), Ok(7));
    }

    #[test]
    fn stop_ends_a_wait_without_deadline_and_every_later_one() {
        let waiter = Arc::new(Waiter::default());
        let stopping = waiter.clone();
        let thread = thread::spawn(move || stopping.stop());
        assert_eq!(waiter.block_on(None, future::pending::<()>()), Err(Cut::Stopped));
        assert!(!waiter.sleep(Duration::from_secs(60)));
        thread.join().unwrap();
    }
}
