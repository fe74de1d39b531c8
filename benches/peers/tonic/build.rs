//! Generates the messages and the service of the project's proto.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=../../../proto/todo.proto");
    let parsed = protox::compile(["todo.proto"], ["../../../proto"])?;
    tonic_prost_build::configure().build_client(false).compile_fds(parsed)?;
    Ok(())
}
