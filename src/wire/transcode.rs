//! Messages whose types only the descriptors know: JSON on one side, bytes on the other.

use grpcio::MethodType;
use protobuf::MessageDyn;
use protobuf::reflect::MessageDescriptor;
use protobuf_json_mapping::{parse_dyn_from_str, print_to_string};

use super::Encoded;

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

    /// The request that is given in the proto3 JSON mapping; an error says what is wrong
    /// with it. The text must be JSON already: the mapping's parser takes more than that.
    pub fn request_of_json(&self, json: &str) -> Result<Encoded, String> {
        let message = parse_dyn_from_str(&(self.request)(), json).map_err(|e| e.to_string())?;
        message.write_to_bytes_dyn().map(Encoded::from_bytes).map_err(|e| e.to_string())
    }

    /// A response in the proto3 JSON mapping; an error says why it has none.
    pub fn json_of_response(&self, response: &Encoded) -> Result<String, String> {
        let parsed = (self.response)().parse_from_bytes(response.as_bytes());
        let message = parsed.map_err(|e| e.to_string())?;
        compact_json(&*message)
    }
}

/// The proto3 JSON mapping as it is by default: lowerCamelCase, default values left out.
/// Fails on a time out of range, which `todod` does not send.
pub fn compact_json(message: &dyn MessageDyn) -> Result<String, String> {
    print_to_string(message).map_err(|e| format!("the message has no JSON form: {e}"))
}
