//! The wire: generated messages, method table, the record of a task, JSON.

mod encoded;
mod json;
pub mod record;

pub use encoded::{ENCODED, Encoded, raw};
pub use json::{Rpc, compact_json, json};

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

    include!(concat!(env!("OUT_DIR"), "/methods.rs"));
}
