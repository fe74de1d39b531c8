//! The client of the shared task list: a command for the shell, and a REPL.

use std::process::ExitCode;

use todo::cli::{self, Cli, program};

fn main() -> ExitCode {
    match program::parse::<Cli>() {
        Ok(cli) => cli::run(&cli).into(),
        Err(exit_code) => exit_code,
    }
}
