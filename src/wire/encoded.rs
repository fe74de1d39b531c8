use std::io::Read;

use grpcio::{Error, GrpcSlice, Marshaller, MessageReader, Method, MethodType, pb_de};
use protobuf::Message;

use super::methods::{GET_TASKS, LIST_CHANGES, WATCH_TASKS};
use super::proto::{GetTasksRequest, ListChangesRequest, WatchTasksRequest};

/// A message as bytes. Clones share them, so that what goes to every watcher is
/// encoded once.
#[derive(Clone)]
pub struct Encoded(GrpcSlice);

impl Encoded {
    pub fn new(message: &impl Message) -> Encoded {
        // Writing to memory does not fail, and titles and listings have limits.
        let bytes = message.write_to_bytes().expect("a message of bounded size");
        Encoded::from_bytes(bytes)
    }

    /// A message that is encoded already.
    pub fn from_bytes(bytes: Vec<u8>) -> Encoded {
        Encoded(GrpcSlice::from(bytes))
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

const ENCODED: Marshaller<Encoded> = Marshaller { ser: share, de: read };

fn share(message: &Encoded, slice: &mut GrpcSlice) -> grpcio::Result<()> {
    *slice = message.0.clone();
    Ok(())
}

fn read(mut reader: MessageReader) -> grpcio::Result<Encoded> {
    let mut bytes = Vec::with_capacity(reader.len());
    // From memory to memory.
    reader.read_to_end(&mut bytes).map_err(|e| Error::Codec(Box::new(e)))?;
    Ok(Encoded::from_bytes(bytes))
}

/// A unary method of whatever types, as bytes.
pub const fn raw(path: &'static str) -> Method<Encoded, Encoded> {
    Method { ty: MethodType::Unary, name: path, req_mar: ENCODED, resp_mar: ENCODED }
}

/// A method that answers with messages that are encoded already.
const fn encoded<Req: protobuf::Message, Resp>(of: &Method<Req, Resp>) -> Method<Req, Encoded> {
    let req_mar = Marshaller { ser: grpcio::pb_ser, de: pb_de };
    Method { ty: of.ty, name: of.name, req_mar, resp_mar: ENCODED }
}

/// `WatchTasks`, answered with updates that all watchers share.
pub const WATCH_TASKS_ENCODED: Method<WatchTasksRequest, Encoded> = encoded(&WATCH_TASKS);

/// `GetTasks`, answered with a page that was encoded off the poll thread.
pub const GET_TASKS_ENCODED: Method<GetTasksRequest, Encoded> = encoded(&GET_TASKS);

/// `ListChanges`, likewise.
pub const LIST_CHANGES_ENCODED: Method<ListChangesRequest, Encoded> = encoded(&LIST_CHANGES);
