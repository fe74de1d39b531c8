use std::time::Duration;

use crate::limits::{RECONNECT_BACKOFF_MAX, RECONNECT_BACKOFF_MIN};

/// How long to wait before the next try: twice as long each time, to a limit.
#[derive(Debug)]
pub struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff(RECONNECT_BACKOFF_MIN)
    }
}

impl Backoff {
    /// Between half of the time and all of it: so that the clients of a server that
    /// comes back do not all come at once.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(RECONNECT_BACKOFF_MAX);
        let mut random = [0];
        // Without random bytes there is no jitter, which is no reason to stop.
        let _ = getrandom::fill(&mut random);
        wait.mul_f64(0.5 + f64::from(random[0]) / 512.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_up_to_twice_the_one_before_and_never_more_than_the_limit() {
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
