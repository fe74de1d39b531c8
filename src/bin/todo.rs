//! The client of the shared task list: a command for the shell, and a REPL.

use std::process::ExitCode;

use clap::Parser;
use todo::cli::{self, Cli};

fn main() -> ExitCode {
    cli::run(&Cli::parse()).into()
}
