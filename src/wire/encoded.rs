use std::io::Read;

use grpcio::{Error, GrpcSlice, Marshaller, MessageReader, Method, MethodType};
use protobuf::Message;

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

/// Sends and receives messages as they are.
pub const ENCODED: Marshaller<Encoded> = Marshaller { ser: share, de: read };

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
