//! The proto3 JSON mapping of messages, by their descriptors: a field or a method that is
//! added to the proto needs no code here.

use std::sync::LazyLock;

use grpcio::MethodType;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use protobuf::{Message as _, MessageDyn};
use serde_json::{Deserializer, Serializer};

use super::{Encoded, proto};

/// A method of the service, described by names, for callers that do not know its types.
pub struct Rpc {
    /// Such as `/todo.TodoService/AddTask`.
    pub path: &'static str,
    pub ty: MethodType,
    /// Full name of the request message, such as `todo.AddTaskRequest`.
    pub request: &'static str,
    /// Full name of the response message.
    pub response: &'static str,
}

impl Rpc {
    pub fn is_unary(&self) -> bool {
        matches!(self.ty, MethodType::Unary)
    }

    /// Encodes a request that is given as JSON; an error says what is wrong with the JSON.
    /// Unknown fields are errors, so that a misspelled name is noticed.
    pub fn request_from_json(&self, json: &[u8]) -> Result<Encoded, String> {
        message_from_json(self.request, json)
            .map(|message| Encoded::from_bytes(message.encode_to_vec()))
    }

    /// Returns the response as JSON without default values.
    pub fn response_to_json(&self, response: &Encoded) -> Result<String, String> {
        to_json(self.response, response.as_bytes(), &SerializeOptions::new())
    }
}

/// Returns the message as JSON without default values. Fails on a timestamp outside years
/// 1 to 9999, which `todod` does not send.
pub fn compact_json(message: &dyn MessageDyn) -> Result<String, String> {
    message_to_json(message, &SerializeOptions::new())
}

/// Returns the message as one line of JSON with default values, or, if it has no JSON form,
/// an object that says why: an unknown server may send anything.
pub fn json(message: &dyn MessageDyn) -> String {
    message_to_json(message, &SerializeOptions::new().skip_default_fields(false))
        .unwrap_or_else(|why| serde_json::json!({ "error": why }).to_string())
}

/// The types of `proto/todo.proto`. The global pool has those that it imports.
static TYPES: LazyLock<Result<DescriptorPool, String>> = LazyLock::new(|| {
    let file = proto::file_descriptor().proto().write_to_bytes().map_err(|e| e.to_string())?;
    let mut pool = DescriptorPool::global();
    pool.decode_file_descriptor_proto(&*file).map_err(|e| e.to_string())?;
    Ok(pool)
});

fn descriptor(name: &str) -> Result<MessageDescriptor, String> {
    let message = TYPES.as_ref().map_err(String::clone)?.get_message_by_name(name);
    message.ok_or_else(|| format!("unknown message type {name}"))
}

fn message_from_json(name: &str, json: &[u8]) -> Result<DynamicMessage, String> {
    let mut deserializer = Deserializer::from_slice(json);
    let message = DynamicMessage::deserialize(descriptor(name)?, &mut deserializer);
    let message = message.map_err(|e| e.to_string())?;
    deserializer.end().map_err(|e| e.to_string())?;
    Ok(message)
}

fn message_to_json(message: &dyn MessageDyn, options: &SerializeOptions) -> Result<String, String> {
    let bytes = message.write_to_bytes_dyn().map_err(|e| e.to_string())?;
    to_json(message.descriptor_dyn().full_name(), &bytes, options)
}

fn to_json(name: &str, bytes: &[u8], options: &SerializeOptions) -> Result<String, String> {
    let no_json = |why: &dyn ToString| format!("{name} has no JSON form: {}", why.to_string());
    let message = DynamicMessage::decode(descriptor(name)?, bytes).map_err(|e| no_json(&e))?;
    let mut json = Vec::new();
    message
        .serialize_with_options(&mut Serializer::new(&mut json), options)
        .map_err(|e| no_json(&e))?;
    String::from_utf8(json).map_err(|e| no_json(&e))
}

#[cfg(test)]
mod tests {
    use protobuf::well_known_types::timestamp::Timestamp;

    use super::*;

    /// What a message becomes that is read from JSON and written again.
    fn again(message: &str, json: &str) -> Result<String, String> {
        let read = message_from_json(&format!("todo.{message}"), json.as_bytes())?;
        serde_json::to_string(&read).map_err(|e| e.to_string())
    }

    #[test]
    fn requests_follow_the_mapping() {
        for (message, json, expected) in [
            // Both spellings of a name are read, lowerCamelCase is written.
            ("GetTaskRequest", r#"{"taskId":7}"#, r#"{"taskId":7}"#),
            ("GetTaskRequest", r#"{"task_id":7}"#, r#"{"taskId":7}"#),
            // null is the default value or absence, for each kind of field.
            ("AddTaskRequest", r#"{"title":"x","requestId":null}"#, r#"{"title":"x"}"#),
            ("GetTaskRequest", r#"{"taskId":null}"#, "{}"),
            ("GetTasksRequest", r#"{"filter":null,"atRevision":null}"#, "{}"),
            ("UpdateTaskRequest", r#"{"title":null,"expectedRevision":null}"#, "{}"),
            ("WatchTasksRequest", r#"{"snapshot":null}"#, "{}"),
            ("Task", r#"{"completed":null,"createdAt":null,"completedAt":null}"#, "{}"),
            ("TaskUpdate", r#"{"task":null,"more":null}"#, "{}"),
            // A field with presence keeps its default value.
            (
                "UpdateTaskRequest",
                r#"{"title":"","expectedRevision":0}"#,
                r#"{"title":"","expectedRevision":"0"}"#,
            ),
            // Whole numbers in any notation, quoted or not.
            ("GetTaskRequest", r#"{"taskId":1.0}"#, r#"{"taskId":1}"#),
            ("GetTaskRequest", r#"{"taskId":1e0}"#, r#"{"taskId":1}"#),
            ("GetTaskRequest", r#"{"taskId":1.2E+1}"#, r#"{"taskId":12}"#),
            ("GetTaskRequest", r#"{"taskId":"7"}"#, r#"{"taskId":7}"#),
            ("GetTaskRequest", r#"{"taskId":-0}"#, "{}"),
            ("GetTaskRequest", r#"{"taskId":2147483647}"#, r#"{"taskId":2147483647}"#),
            ("GetTaskRequest", r#"{"taskId":-2147483648.0}"#, r#"{"taskId":-2147483648}"#),
            ("GetTasksRequest", r#"{"atRevision":3e2}"#, r#"{"atRevision":"300"}"#),
            (
                "GetTasksRequest",
                r#"{"atRevision":9223372036854775807}"#,
                r#"{"atRevision":"9223372036854775807"}"#,
            ),
            (
                "GetTasksRequest",
                r#"{"atRevision":"-9223372036854775808"}"#,
                r#"{"atRevision":"-9223372036854775808"}"#,
            ),
            // An enum's value by name or number, also by one that is not known.
            ("GetTasksRequest", r#"{"filter":"ANY"}"#, r#"{"filter":"ANY"}"#),
            ("GetTasksRequest", r#"{"filter":4}"#, r#"{"filter":"ANY"}"#),
            ("GetTasksRequest", r#"{"filter":99}"#, r#"{"filter":99}"#),
            // Surrogate pairs, escapes and characters as they are.
            ("AddTaskRequest", r#"{"title":"\ud83d\ude00 \u00e9\n😀"}"#, r#"{"title":"😀 é\n😀"}"#),
            ("AddTaskRequest", r#" { "title" : "a" } "#, r#"{"title":"a"}"#),
            // The mapping leaves this open; the last one counts.
            ("AddTaskRequest", r#"{"title":"a","title":"b"}"#, r#"{"title":"b"}"#),
            // Times in RFC 3339, with 0, 3, 6 or 9 digits.
            (
                "Task",
                r#"{"createdAt":"2026-11-25T00:09:39Z"}"#,
                r#"{"createdAt":"2026-11-25T00:09:39Z"}"#,
            ),
            (
                "Task",
                r#"{"createdAt":"2026-11-25T02:09:39.5+02:00"}"#,
                r#"{"createdAt":"2026-11-25T00:09:39.500Z"}"#,
            ),
            (
                "Task",
                r#"{"createdAt":"9999-12-31T23:59:59.999999999Z"}"#,
                r#"{"createdAt":"9999-12-31T23:59:59.999999999Z"}"#,
            ),
            // Messages within messages.
            (
                "TaskUpdate",
                r#"{"task":{"id":1},"more":[{"revision":2},{}]}"#,
                r#"{"task":{"id":1},"more":[{"revision":"2"},{}]}"#,
            ),
        ] {
            assert_eq!(again(message, json).as_deref(), Ok(expected), "{message} {json}");
        }
    }

    #[test]
    fn what_the_mapping_does_not_allow_is_an_error() {
        let mut wrong = Vec::new();
        for (message, json, why) in [
            ("GetTaskRequest", r#"{"taskId":1.5}"#, "expected integer value at line 1 column 13"),
            ("GetTaskRequest", r#"{"taskId":2147483648}"#, "out of range"),
            ("GetTaskRequest", r#"{"taskId":2147483648.0}"#, "out of range"),
            ("GetTaskRequest", r#"{"taskId":1e400}"#, "out of range"),
            ("GetTaskRequest", r#"{"taskId":"Infinity"}"#, "invalid digit"),
            ("GetTaskRequest", r#"{"taskId":Infinity}"#, "expected value"),
            ("GetTaskRequest", r#"{"taskId":""}"#, "empty string"),
            ("GetTaskRequest", r#"{"taskId":" 1"}"#, "invalid digit"),
            ("GetTaskRequest", r#"{"taskId":01}"#, "invalid number"),
            ("GetTaskRequest", r#"{"taskId":true}"#, "boolean"),
            ("GetTaskRequest", r#"{"taskId":[]}"#, "sequence"),
            ("GetTasksRequest", r#"{"atRevision":9223372036854775808}"#, "out of range"),
            ("GetTasksRequest", r#"{"filter":"SOME"}"#, "'SOME'"),
            ("GetTasksRequest", r#"{"filter":"any"}"#, "'any'"),
            ("AddTaskRequest", r#"{"title":7}"#, "expected a string"),
            ("AddTaskRequest", r#"{"titel":"a"}"#, "unrecognized field name 'titel'"),
            ("AddTaskRequest", r#"{"title":"\ud83d"}"#, "hex escape"),
            ("AddTaskRequest", "{\"title\":\"a\nb\"}", "control character"),
            ("AddTaskRequest", r#"{"title":"a",}"#, "trailing comma"),
            ("AddTaskRequest", r#"{"title":"a"} {}"#, "trailing characters"),
            ("AddTaskRequest", "{'title':'a'}", "key must be a string"),
            ("AddTaskRequest", "", "EOF"),
            ("AddTaskRequest", "null", "null"),
            ("AddTaskRequest", "[]", "sequence"),
            ("AddTaskRequest", "\u{feff}{}", "expected value"),
            ("WatchTasksRequest", r#"{"snapshot":"true"}"#, "expected a boolean"),
            ("TaskUpdate", r#"{"more":[null]}"#, "null"),
            ("Task", r#"{"createdAt":"yesterday"}"#, "timestamp"),
            ("Task", r#"{"createdAt":1}"#, "integer"),
            ("Task", r#"{"createdAt":"10000-01-01T00:00:00Z"}"#, "timestamp"),
            // The mapping allows exponents in quotes, too. Nothing writes them.
            ("GetTaskRequest", r#"{"taskId":"1e0"}"#, "invalid digit"),
        ] {
            let read = again(message, json);
            if !read.as_ref().is_err_and(|error| error.contains(why)) {
                wrong.push(format!("{message} {json}: {read:?}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        let deep = format!("{}{}", r#"{"more":["#.repeat(200), "]}".repeat(200));
        assert!(again("TaskUpdate", &deep).is_err_and(|why| why.contains("recursion limit")));
    }

    #[test]
    fn default_values_are_left_out_or_shown() {
        let mut task = proto::Task { id: 1, title: "a\u{2028}".to_owned(), ..Default::default() };
        task.created_at.mut_or_insert_default().nanos = 5_000;
        assert_eq!(
            compact_json(&task).as_deref(),
            Ok("{\"id\":1,\"title\":\"a\u{2028}\",\"createdAt\":\"1970-01-01T00:00:00.000005Z\"}")
        );
        assert_eq!(
            json(&task),
            "{\"id\":1,\"title\":\"a\u{2028}\",\"completed\":false,\"revision\":\"0\",\
             \"createdAt\":\"1970-01-01T00:00:00.000005Z\",\"deleted\":false}"
        );
        // Fields with presence are absent, not null.
        assert_eq!(json(&proto::GetTaskResponse::new()), "{}");
        assert_eq!(compact_json(&proto::GetTasksResponse::new()).as_deref(), Ok("{}"));
        assert_eq!(
            json(&proto::GetTasksResponse::new()),
            r#"{"tasks":[],"nextPageToken":"","revision":"0","listId":""}"#
        );
    }

    #[test]
    fn a_time_without_json_form_is_an_error() {
        let at = Timestamp { seconds: i64::MAX, ..Default::default() };
        let task = proto::Task { created_at: Some(at).into(), ..Default::default() };
        let why = "todo.Task has no JSON form: timestamp out of range";
        assert_eq!(compact_json(&task), Err(why.to_owned()));
        assert_eq!(json(&task), format!("{{\"error\":\"{why}\"}}"));
    }

    /// A newer server may know more fields and values.
    #[test]
    fn unknown_fields_and_values_of_a_response_are_no_error() {
        let rpc = Rpc { path: "/", ty: MethodType::Unary, request: "", response: "todo.Task" };
        let id_and_unknown_field = Encoded::from_bytes(vec![0x08, 1, 0xf8, 0x7f, 1]);
        assert_eq!(rpc.response_to_json(&id_and_unknown_field).as_deref(), Ok(r#"{"id":1}"#));
        let not_a_message = Encoded::from_bytes(vec![0x08]);
        assert!(rpc.response_to_json(&not_a_message).is_err());
    }

    #[test]
    fn every_message_of_every_method_is_known() {
        for rpc in crate::wire::methods::ALL {
            assert!(descriptor(rpc.request).is_ok(), "{}", rpc.request);
            assert!(descriptor(rpc.response).is_ok(), "{}", rpc.response);
        }
        assert!(descriptor("todo.Nothing").is_err_and(|why| why.contains("todo.Nothing")));
    }
}
