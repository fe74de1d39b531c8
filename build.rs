//! Generates, into `OUT_DIR`, the messages of `proto/todo.proto` and the table of
//! its methods. The table comes from the parsed descriptors, so that it cannot
//! drift from the proto.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, error::Error, fs};

const PROTO: &str = "proto/todo.proto";
const MARSHALLER: &str = "Marshaller { ser: pb_ser, de: pb_de }";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO}");
    println!("cargo:rerun-if-changed=build.rs");
    let out_dir = env::var("OUT_DIR")?;
    protobuf_codegen::Codegen::new()
        .pure()
        .includes(["proto"])
        .input(PROTO)
        .out_dir(&out_dir)
        .customize(protobuf_codegen::Customize::default().gen_mod_rs(true))
        .run()?;
    fs::write(Path::new(&out_dir).join("methods.rs"), methods()?)?;
    Ok(())
}

/// `pub const ADD_TASK: Method<AddTaskRequest, AddTaskResponse> = ..`, one a method.
fn methods() -> Result<String, Box<dyn Error>> {
    let parsed =
        protobuf_parse::Parser::new().pure().include("proto").input(PROTO).parse_and_typecheck()?;
    let mut text = String::new();
    for file in &parsed.file_descriptors {
        for service in &file.service {
            for method in &service.method {
                let name = method.name();
                let path = format!("/{}.{}/{name}", file.package(), service.name());
                let kind = if method.server_streaming() { "ServerStreaming" } else { "Unary" };
                writeln!(
                    text,
                    "/// `{path}`\npub const {}: Method<{}, {}> = Method {{ ty: MethodType::{kind}, \
                     name: \"{path}\", req_mar: {MARSHALLER}, resp_mar: {MARSHALLER} }};",
                    shouting_snake(name),
                    message(method.input_type()),
                    message(method.output_type()),
                )?;
            }
        }
    }
    Ok(text)
}

/// `.todo.AddTaskRequest` to `AddTaskRequest`.
fn message(full_name: &str) -> &str {
    full_name.rsplit('.').next().unwrap_or(full_name)
}

/// `AddTask` to `ADD_TASK`.
fn shouting_snake(name: &str) -> String {
    let mut out = String::new();
    for (at, c) in name.char_indices() {
        if c.is_ascii_uppercase() && at > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}
