//! Requests to the model's terms, and what the list holds to messages: pages, update
//! batches, encoded tasks, status codes.

mod changes;
mod page;
pub(crate) mod request;
mod status;
mod task_cache;
mod token;
mod update_batch;

pub(crate) use changes::ChangesQuery;
pub(crate) use page::PageQuery;
pub(crate) use request::RequestError;
pub(crate) use status::{CallError, status};
pub(crate) use task_cache::TaskEncodingCache;
pub(crate) use update_batch::{Packing, UpdateBatch, progress, reset, synced};
