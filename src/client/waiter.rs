use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Timer;

/// Blocks one thread on one future at a time, until another thread stops it. It is the
/// timer of that future, too.
#[derive(Default)]
pub(super) struct Waiter {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_woken: bool,
    is_stopped: bool,
    /// When the earliest sleep of the last poll ends.
    deadline: Option<Instant>,
}

impl Waiter {
    /// Ends the current wait, and every later one.
    pub(super) fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.changed.notify_all();
    }

    /// Waits for the future; `None` if another thread called [`Waiter::stop`].
    pub(super) fn block_on<F: Future>(self: &Arc<Self>, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let waker = Waker::from(self.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            self.state.lock().deadline = None;
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Some(output);
            }
            if !self.wait() {
                return None;
            }
        }
    }

    /// Waits for a wake or a deadline; `false` if stopped.
    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.is_stopped {
                return false;
            }
            if state.is_woken {
                // Reset before the next poll, so that a wake during it counts.
                state.is_woken = false;
                return true;
            }
            match state.deadline {
                Some(deadline) if Instant::now() >= deadline => return true,
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

/// For futures that [`Waiter::block_on`] runs and that poll each pending sleep whenever
/// they are polled, as `select` does.
impl Timer for Arc<Waiter> {
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        Sleep { waiter: self.clone(), until: Instant::now() + time }
    }
}

struct Sleep {
    waiter: Arc<Waiter>,
    until: Instant,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.until {
            return Poll::Ready(());
        }
        let mut state = self.waiter.state.lock();
        state.deadline = Some(state.deadline.map_or(self.until, |at| at.min(self.until)));
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{future, thread};

    use crossbeam_channel::bounded;
    use futures_util::future::{Either, select};

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_ready_future_does_not_wait() {
        let waiter = Arc::new(Waiter::default());
        assert_eq!(waiter.block_on(future::ready(7)), Some(7));
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
        assert_eq!(waiter.block_on(future), Some(()));
        waking.join().unwrap();
    }

    #[test]
    fn the_earliest_sleep_ends_first_and_the_next_wait_has_its_own() {
        let waiter = Arc::new(Waiter::default());
        for (first, second) in [(LONG, Duration::from_millis(5)), (Duration::ZERO, LONG)] {
            let (left, right) = (pin!(waiter.sleep(first)), pin!(waiter.sleep(second)));
            let Some(ended) = waiter.block_on(select(left, right)) else {
                panic!("nobody stopped it")
            };
            assert_eq!(matches!(ended, Either::Left(_)), first < second);
        }
        assert_eq!(waiter.block_on(future::ready(7)), Some(7));
    }

    #[test]
    fn stop_ends_a_wait_and_every_later_one() {
        let waiter = Arc::new(Waiter::default());
        let stopping = waiter.clone();
        let thread = thread::spawn(move || stopping.stop());
        assert_eq!(waiter.block_on(future::pending::<()>()), None);
        assert_eq!(waiter.block_on(waiter.sleep(LONG)), None);
        thread.join().unwrap();
    }
}
