use std::fmt;

/// An error of a store. Opaque: what is above the store handles the kind and passes the
/// message on, which says what was wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    pub kind: StoreErrorKind,
    message: String,
}

/// What an error means for the owner of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// There is no space. Nothing was written, and the store continues once there is.
    NoSpace,
    /// Another program holds a lock. Nothing was written, and the store continues once the
    /// lock is released.
    Busy,
    /// What was to be read is damaged. The rest of the store can still be used.
    Damaged,
    /// The store cannot be used.
    Failed,
}

impl StoreError {
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> StoreError {
        StoreError { kind, message: message.into() }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// Without a source: whoever prints the chain of causes prints the message once.
impl std::error::Error for StoreError {}
