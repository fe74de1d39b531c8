//! Generates, into `OUT_DIR`, the messages of `proto/todo.proto`, the table of its
//! methods, and the table of the page's files. The tables come from the parsed
//! descriptors and from the folder, so that they cannot drift from them.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
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
    if env::var_os("CARGO_FEATURE_WEB").is_some() {
        println!("cargo:rerun-if-changed={PAGE}");
        fs::write(Path::new(&out_dir).join("page.rs"), page()?)?;
    }
    Ok(())
}

/// `pub const ADD_TASK: Method<AddTaskRequest, AddTaskResponse> = ..`, one a method, and
/// `ALL`, which holds all of them for who does not know their types.
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
                     request: {request}::descriptor, response: {response}::descriptor }},",
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

/// `static FILES: &[File] = ..`, one `File` for each file of the page's folder.
fn page() -> Result<String, Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join(PAGE);
    let mut files = Vec::new();
    find(&root, &mut files)?;
    files.sort();
    let mut text = "static FILES: &[File] = &[\n".to_owned();
    for file in files {
        println!("cargo:rerun-if-changed={}", file.display());
        let path = format!("/{}", file.strip_prefix(&root)?.to_str().ok_or("a name is not UTF-8")?);
        let content_type = content_type(&file)?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&fs::read(&file)?);
        let etag = format!("\"{:016x}\"", hasher.finish());
        writeln!(
            text,
            "    File {{ path: {path:?}, content_type: {content_type:?}, etag: {etag:?}, \
             bytes: include_bytes!({file:?}) }},",
        )?;
    }
    Ok(text + "];\n")
}

/// All files below the folder, but what editors and the like leave behind in hiding.
fn find(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            println!("cargo:rerun-if-changed={}", path.display());
            find(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// A browser that may not guess (`nosniff`) must be told.
fn content_type(file: &Path) -> Result<&'static str, String> {
    Ok(match file.extension().and_then(|extension| extension.to_str()).unwrap_or("") {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => return Err(format!("{}: give its content type in build.rs", file.display())),
    })
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
