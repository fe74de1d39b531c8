use grpcio::{Error, GrpcSlice, Marshaller, MessageReader, Method, pb_de};
use protobuf::Message;

use super::methods::{GET_TASKS, WATCH_TASKS};
use super::proto::{GetTasksRequest, WatchTasksRequest};

/// A message as bytes. Clones share them, so that what goes to every watcher is
/// encoded once.
#[derive(Clone)]
pub struct Encoded(GrpcSlice);

impl Encoded {
    pub fn new(message: &impl Message) -> Encoded {
        // Writing to memory does not fail, and titles and listings have limits.
        let bytes = message.write_to_bytes().expect("a message of bounded size");
        Encoded(GrpcSlice::from(bytes))
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

const ENCODED: Marshaller<Encoded> = Marshaller { ser: share, de: refuse };

fn share(message: &Encoded, slice: &mut GrpcSlice) -> grpcio::Result<()> {
    *slice = message.0.clone();
    Ok(())
}

fn refuse(_: MessageReader) -> grpcio::Result<Encoded> {
    Err(Error::Codec("an encoded message is for sending only".into()))
}

/// `WatchTasks`, answered with updates that are encoded already.
pub const WATCH_TASKS_ENCODED: Method<WatchTasksRequest, Encoded> = Method {
    ty: WATCH_TASKS.ty,
    name: WATCH_TASKS.name,
    req_mar: Marshaller { ser: grpcio::pb_ser, de: pb_de },
    resp_mar: ENCODED,
};

/// `GetTasks`, answered with a page that is encoded already, off the poll thread.
pub const GET_TASKS_ENCODED: Method<GetTasksRequest, Encoded> = Method {
    ty: GET_TASKS.ty,
    name: GET_TASKS.name,
    req_mar: Marshaller { ser: grpcio::pb_ser, de: pb_de },
    resp_mar: ENCODED,
};
