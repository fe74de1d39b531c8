//! The rules of the task list: pure values, without I/O, clock, thread or wire type.

mod change;
mod filter;
mod list;
mod mutation;
mod rejection;
mod request_id;
mod task;
mod title;

pub use change::{Action, Change};
pub use filter::{Filter, Status};
pub use list::{Head, TaskList};
pub use mutation::{Answer, Applied, Edit, Mutation, Precondition, Request};
pub use rejection::Rejection;
pub use request_id::{Fingerprint, IdempotencyRecord, RequestId, RequestIdError};
pub use task::{Revision, Task, TaskFields, TaskId, TaskPatch, Timestamp};
pub use title::{Title, TitleError};
