//! The wire: generated messages and method table, conversions, status codes.

mod convert;
mod encoded;
mod json;
mod page;
mod status;

pub use convert::{
    add_task, complete_task, delete_task, filter, reopen_task, reset, restore_task,
    snapshot_update, synced, task, update, update_task,
};
pub use encoded::{Encoded, GET_TASKS_ENCODED, WATCH_TASKS_ENCODED};
pub use json::json;
pub use page::PageQuery;
pub use status::{code, status};

/// The messages of `proto/todo.proto`.
#[allow(clippy::all, clippy::unwrap_used)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/mod.rs"));
}
pub use generated::todo as proto;

/// One `Method` for each call of `proto/todo.proto`, made by `build.rs`.
pub mod methods {
    use super::proto::*;
    use grpcio::{Marshaller, Method, MethodType, pb_de, pb_ser};

    include!(concat!(env!("OUT_DIR"), "/methods.rs"));
}
