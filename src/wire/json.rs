use protobuf::MessageDyn;
use protobuf_json_mapping::{PrintOptions, print_to_string_with_options};

/// One line of JSON: the proto3 JSON mapping with the fields' own names and default
/// values shown. 64-bit numbers are strings there, as the mapping says.
pub fn json(message: &dyn MessageDyn) -> String {
    let options = PrintOptions {
        proto_field_name: true,
        always_output_default_values: true,
        ..PrintOptions::default()
    };
    // Fails on an unpacked `Any` and on a time out of range. We send neither, but a
    // server that we do not know could.
    print_to_string_with_options(message, &options)
        .unwrap_or_else(|e| format!("{{\"error\":\"the message has no JSON form: {e}\"}}"))
}
