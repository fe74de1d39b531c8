//! The rules of the task list: pure values, no I/O, clock, thread or wire type.

mod change;
mod filter;
mod list;
mod mutation;
mod rejection;
mod request_id;
mod task;
mod title;

pub use change::{Action, Change, Flags};
pub use filter::Filter;
pub use list::{Outcome, TaskList};
pub use mutation::{Edit, Guard, Mutation};
pub use rejection::Rejection;
pub use request_id::{Remembered, RequestId, RequestIdError};
pub use task::{Revision, Task, TaskId, Timestamp};
pub use title::{Title, TitleError};
