//! Messages whose types only the descriptors know: JSON on one side, bytes on the other.

use std::io::Read;

use grpcio::{GrpcSlice, Marshaller, MessageReader, Method, MethodType};
use protobuf::MessageDyn;
use protobuf::reflect::MessageDescriptor;
use protobuf_json_mapping::{parse_dyn_from_str, print_to_string};

/// A method of the service, for who does not know its types.
pub struct Rpc {
    /// Such as `/todo.TodoService/AddTask`.
    pub path: &'static str,
    pub ty: MethodType,
    pub request: fn() -> MessageDescriptor,
    pub response: fn() -> MessageDescriptor,
}

impl Rpc {
    pub fn is_unary(&self) -> bool {
        matches!(self.ty, MethodType::Unary)
    }

    /// The bytes of a request in the proto3 JSON mapping; an error says what is wrong
    /// with it. The text must be JSON already: the mapping's parser takes more than that.
    pub fn request_of_json(&self, json: &str) -> Result<Vec<u8>, String> {
        let message = parse_dyn_from_str(&(self.request)(), json).map_err(|e| e.to_string())?;
        message.write_to_bytes_dyn().map_err(|e| e.to_string())
    }

    /// A response in the proto3 JSON mapping; an error says why it has none.
    pub fn json_of_response(&self, bytes: &[u8]) -> Result<String, String> {
        let message = (self.response)().parse_from_bytes(bytes).map_err(|e| e.to_string())?;
        compact_json(&*message)
    }
}

/// The proto3 JSON mapping as it is by default: lowerCamelCase, default values left out.
/// Fails on a time out of range, which `todod` does not send.
pub fn compact_json(message: &dyn MessageDyn) -> Result<String, String> {
    print_to_string(message).map_err(|e| format!("the message has no JSON form: {e}"))
}

/// A unary method whose messages are bytes.
pub fn raw(path: &'static str) -> Method<Vec<u8>, Vec<u8>> {
    let bytes = || Marshaller { ser: write, de: read };
    Method { ty: MethodType::Unary, name: path, req_mar: bytes(), resp_mar: bytes() }
}

fn write(bytes: &Vec<u8>, slice: &mut GrpcSlice) -> grpcio::Result<()> {
    *slice = GrpcSlice::from(&bytes[..]);
    Ok(())
}

fn read(mut reader: MessageReader) -> grpcio::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(reader.len());
    // Reads from memory.
    reader.read_to_end(&mut bytes).map_err(|e| grpcio::Error::Codec(Box::new(e)))?;
    Ok(bytes)
}
