use std::time::Duration;

use crate::limits::{RECONNECT_BACKOFF_MAX, RECONNECT_BACKOFF_MIN};

/// The waits before the next attempts to connect: each is twice the one before, up to a
/// limit.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff(RECONNECT_BACKOFF_MIN)
    }
}

impl Backoff {
    /// Returns the next wait: between half of the full time and all of it, so that the
    /// clients of a server that comes back do not all connect in the same moment.
    pub(super) fn next_wait(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(RECONNECT_BACKOFF_MAX);
        let mut random = [0];
        // Without random bytes there is no jitter; the wait still works.
        let _ = getrandom::fill(&mut random);
        wait.mul_f64(0.5 + f64::from(random[0]) / 512.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_doubles_up_to_the_limit() {
        let mut backoff = Backoff::default();
        let mut full = RECONNECT_BACKOFF_MIN;
        for _ in 0..20 {
            let wait = backoff.next_wait();
            assert!(full / 2 <= wait && wait <= full, "{wait:?} of {full:?}");
            full = (full * 2).min(RECONNECT_BACKOFF_MAX);
        }
        assert_eq!(full, RECONNECT_BACKOFF_MAX);
    }
}
