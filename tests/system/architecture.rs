//! The layers: which folder may use which, and what the build must not contain.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each folder of `src/`, which of the other folders it may use, and which of the guarded
/// crates. A crate that is guarded may be used by the folders that name it, and by no other.
const LAYERS: [(&str, &[&str], &[&str]); 8] = [
    ("model", &[], &["imbl"]),
    // `grpcio`: the method table and the marshallers of the generated messages.
    ("wire", &["model"], &["protobuf", "prost_reflect", "grpcio"]),
    ("store", &["model", "wire"], &["rusqlite", "crossbeam_channel"]),
    ("state", &["model", "store"], &["crossbeam_channel", "hashbrown"]),
    (
        "server",
        &["model", "wire", "state", "store"],
        &["grpcio", "protobuf", "crossbeam_channel", "futures_util"],
    ),
    (
        "client",
        &["wire"],
        &["grpcio", "protobuf", "crossbeam_channel", "futures_util", "futures_executor"],
    ),
    ("cli", &["client"], &["clap", "rustyline", "jiff", "http", "crossbeam_channel"]),
    (
        "web",
        &["client", "wire"],
        &["axum", "hyper", "hyper_util", "http", "rust_embed", "tokio", "futures_util"],
    ),
];

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        match path.is_dir() {
            true => files.extend(sources(&path)),
            false if path.extension().is_some_and(|e| e == "rs") => files.push(path),
            false => {}
        }
    }
    files
}

fn code(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Every name that the code uses as a path: before `::`, or at the end of a `use`.
fn paths(source: &str, names: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for line in code(source) {
        let line = line.trim_start();
        let imports = ["use ", "pub use ", "extern crate "].iter().any(|u| line.starts_with(u));
        for name in names {
            let used = line.match_indices(name).any(|(at, _)| {
                let (before, after) = (&line[..at], &line[at + name.len()..]);
                let starts = !before.ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c));
                let ends = [";", " as ", ",", "}"].iter().any(|end| after.starts_with(end));
                starts && (after.starts_with("::") || imports && ends)
            });
            if used {
                found.push((*name).to_owned());
            }
        }
    }
    found
}

/// Ways to a layer that [`paths`] would not see. `layer_root`: whether the file is a
/// layer's own `mod.rs`, whose `super` is the crate.
fn detour(source: &str, layer_root: bool) -> Option<&str> {
    let hidden: &[&str] = match layer_root {
        true => &["crate::{", "crate::*", "super::super", "super::{"],
        false => &["crate::{", "crate::*", "super::super"],
    };
    code(source).find(|line| hidden.iter().any(|way| line.contains(way)))
}

#[test]
fn what_the_layer_test_sees() {
    let names = ["grpcio", "crate::client"];
    for (source, seen) in [
        ("use grpcio::Method;", &["grpcio"][..]),
        ("    fn f() -> grpcio::Result<()> {", &["grpcio"]),
        ("use grpcio;", &["grpcio"]),
        ("pub use grpcio as g;", &["grpcio"]),
        ("use {clap, grpcio, log};", &["grpcio"]),
        ("extern crate grpcio;", &["grpcio"]),
        ("use crate::client;", &["crate::client"]),
        ("use crate::client::Client;", &["crate::client"]),
        ("let grpcio = 1; f(grpcio, 2);", &[]),
        ("use my_grpcio::x; use crate::clients::y;", &[]),
        ("// grpcio::Method", &[]),
    ] {
        assert_eq!(paths(source, &names), seen, "{source}");
    }
    for (source, layer_root, caught) in [
        ("use crate::{client::Client};", false, true),
        ("use crate::*;", false, true),
        ("    super::super::client::f()", false, true),
        ("use super::{client};", true, true),
        ("use super::{Inner};", false, false),
        ("// crate::{", false, false),
    ] {
        assert_eq!(detour(source, layer_root).is_some(), caught, "{source}");
    }
}

#[test]
fn each_layer_uses_only_what_the_table_allows() {
    let guarded: Vec<&str> = LAYERS.iter().flat_map(|(_, _, crates)| *crates).copied().collect();
    let ours = ["crate", "super"].map(|root| LAYERS.map(|(layer, ..)| format!("{root}::{layer}")));
    let ours = ours.concat();
    let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (layer, allowed, own) in LAYERS {
        let files = sources(&src.join(layer));
        assert!(!files.is_empty(), "src/{layer} is empty");
        for file in files {
            let source = fs::read_to_string(&file).unwrap();
            let detour = detour(&source, file == src.join(layer).join("mod.rs"));
            assert_eq!(detour, None, "{} hides what it uses", file.display());
            for used in paths(&source, &ours) {
                let used = used.split_once("::").unwrap().1;
                let fine = used == layer || allowed.contains(&used);
                assert!(fine, "{} uses {used}", file.display());
            }
            for used in paths(&source, &guarded) {
                assert!(own.contains(&&*used), "{} uses {used}", file.display());
            }
        }
    }
}

#[test]
fn every_folder_of_the_source_is_in_the_table() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(src).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let known = LAYERS.iter().any(|(layer, ..)| *layer == name);
        let top = ["bin", "lib.rs", "limits.rs", "os.rs", "plural.rs"].contains(&&*name);
        assert!(known || top, "src/{name} is not in the table of layers");
    }
}

#[test]
fn the_build_has_no_tokio() {
    let tree = |arguments: &[&str]| {
        let out = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--locked",
                "--offline",
                "--no-default-features",
                "--edges",
                "normal,build",
            ])
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    assert!(tree(&[]).contains("grpcio v"), "cargo tree works");
    assert!(!tree(&[]).contains("tokio"), "{}", tree(&["--invert", "tokio"]));
}

#[test]
fn every_message_field_call_and_value_of_the_proto_is_documented() {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/todo.proto");
    let text = fs::read_to_string(proto).unwrap();
    let mut documented = false;
    let mut declared = 0;
    for line in text.lines().map(str::trim) {
        let declares = line.starts_with("rpc ")
            || line.starts_with("service ")
            || line.starts_with("enum ")
            || line.starts_with("message ")
            || (line.contains(" = ") && line.ends_with(';') && !line.starts_with("syntax"));
        if declares {
            declared += 1;
            assert!(documented, "not documented: {line}");
        }
        documented = line.starts_with("//");
    }
    assert!(declared > 40, "the test found only {declared} declarations");
}

/// The reference example's numbers and types, for ever.
#[test]
fn the_reference_examples_fields_are_where_they_were() {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/todo.proto");
    let text = fs::read_to_string(proto).unwrap();
    for (message, fields) in [
        ("Task", &["int32 id = 1;", "string title = 2;", "bool completed = 3;"][..]),
        ("AddTaskRequest", &["string title = 1;"]),
        ("AddTaskResponse", &["Task task = 1;"]),
        ("GetTasksResponse", &["repeated Task tasks = 1;"]),
        ("CompleteTaskRequest", &["int32 task_id = 1;"]),
        ("CompleteTaskResponse", &["bool success = 1;"]),
        ("TaskUpdate", &["Task task = 1;", "string action = 2;"]),
    ] {
        let body = text.split(&format!("message {message} {{")).nth(1).unwrap();
        let body = format!("{}\n", body.split("\n}").next().unwrap());
        for field in fields {
            assert!(body.contains(&format!("\n  {field}\n")), "{message}: {field}");
        }
    }
}
