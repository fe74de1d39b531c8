//! Generates the messages of `proto/todo.proto` and the table of its methods into `OUT_DIR`.
//! Both are made from the same parsed descriptors, so they always agree.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, error::Error, fs};

const PROTO: &str = "proto/todo.proto";
const PAGE: &str = "src/web/page";
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
    // The macro that embeds the page's files notices changed files, but not new ones.
    println!("cargo:rerun-if-changed={PAGE}");
    Ok(())
}

/// Returns Rust source: a constant for each method, such as
/// `pub const ADD_TASK: Method<AddTaskRequest, AddTaskResponse> = ..`, and the table `ALL`,
/// which describes the methods to callers that do not know their types.
fn methods() -> Result<String, Box<dyn Error>> {
    let parsed =
        protobuf_parse::Parser::new().pure().include("proto").input(PROTO).parse_and_typecheck()?;
    let (mut text, mut all) = (String::new(), String::new());
    for file in &parsed.file_descriptors {
        for service in &file.service {
            let service_name = format!("{}.{}", file.package(), service.name());
            writeln!(text, "/// The service's name.\npub const SERVICE: &str = {service_name:?};")?;
            for method in &service.method {
                let name = method.name();
                let path = format!("/{service_name}/{name}");
                let kind = if method.server_streaming() { "ServerStreaming" } else { "Unary" };
                let (request, response) =
                    (message(method.input_type()), message(method.output_type()));
                writeln!(
                    text,
                    "/// `{path}`\npub const {}: Method<{}, {}> = Method {{ ty: MethodType::{kind}, \
                     name: \"{path}\", req_mar: {MARSHALLER}, resp_mar: {MARSHALLER} }};",
                    shouting_snake(name),
                    request,
                    response,
                )?;
                writeln!(
                    all,
                    "    Rpc {{ path: \"{path}\", ty: MethodType::{kind}, \
                     request: {:?}, response: {:?} }},",
                    method.input_type().trim_start_matches('.'),
                    method.output_type().trim_start_matches('.'),
                )?;
            }
        }
    }
    writeln!(
        text,
        "/// Every method, in the order of the proto.\npub static ALL: &[Rpc] = &[\n{all}];"
    )?;
    Ok(text)
}

/// Turns `.todo.AddTaskRequest` into `AddTaskRequest`.
fn message(full_name: &str) -> &str {
    full_name.rsplit('.').next().unwrap_or(full_name)
}

/// Turns `AddTask` into `ADD_TASK`.
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
