//! The wire: generated messages and method table, conversions, status codes.

mod burst;
mod changes;
mod convert;
mod encoded;
mod encodings;
mod json;
mod page;
mod status;
mod token;
mod transcode;

pub use burst::{Burst, Packing};
pub use changes::ChangesQuery;
pub use convert::{
    add_task, complete_task, delete_task, filter, progress, progress_interval, reopen_task, reset,
    restore_task, revision, synced, task, update_task,
};
pub use encoded::{ENCODED, Encoded, raw};
pub use encodings::Encodings;
pub use json::json;
pub use page::PageQuery;
pub use status::{code, status};
pub use transcode::{Rpc, compact_json};

/// The messages of `proto/todo.proto`.
#[allow(clippy::all, clippy::unwrap_used)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/mod.rs"));
}
pub use generated::todo as proto;

/// One `Method` for each call of `proto/todo.proto`, made by `build.rs`.
pub mod methods {
    use super::Rpc;
    use super::proto::*;
    use grpcio::{Marshaller, Method, MethodType, pb_de, pb_ser};
    use protobuf::MessageFull;

    include!(concat!(env!("OUT_DIR"), "/methods.rs"));
}
