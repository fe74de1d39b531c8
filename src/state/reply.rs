use crate::model::Rejection;

/// Where the answer to a command goes.
pub trait Answer<T>: Send {
    /// Whether the caller no longer waits. Asked once, when the command's turn comes.
    fn expired(&self) -> bool {
        false
    }

    /// Delivers the answer. Runs on the state thread, so it must not block.
    fn give(self: Box<Self>, answer: Result<T, Rejection>);
}

/// A command's right to one answer. Dropped without one, as when the state thread
/// stops in the middle, it answers that the outcome is unknown.
pub struct Reply<T>(Option<Box<dyn Answer<T>>>);

impl<T> Reply<T> {
    pub fn new(answer: impl Answer<T> + 'static) -> Reply<T> {
        Reply(Some(Box::new(answer)))
    }

    pub fn expired(&self) -> bool {
        self.0.as_ref().is_some_and(|answer| answer.expired())
    }

    pub fn give(mut self, answer: Result<T, Rejection>) {
        if let Some(to) = self.0.take() {
            to.give(answer);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(to) = self.0.take() {
            to.give(Err(Rejection::OutcomeUnknown));
        }
    }
}
