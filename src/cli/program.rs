//! What the programs `todo`, `todod` and `todo-web` share: their arguments, their log and
//! their failures. A failed write to stderr never ends a program in another way.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::{env, ffi};

use clap::Parser;
use clap::builder::{Resettable, StyledStr};

/// Parses the command line. The error is the exit code of a program that has printed its
/// help, its version, or what is wrong with its arguments.
pub fn parse<P: Parser>() -> Result<P, ExitCode> {
    let mut command = with_whole_usage(without_empty_variables(P::command()));
    let matches = command.try_get_matches_from_mut(env::args_os());
    let parsed = matches.and_then(|matches| P::from_arg_matches(&matches));
    parsed.map_err(|e| explain(command.get_name(), &e.with_cmd(&command)))
}

/// Prints clap's answer: help and version go to stdout, errors go to stderr.
pub fn explain(program: &str, answer: &clap::Error) -> ExitCode {
    match answer.print().and_then(|()| io::stdout().flush()) {
        Err(e) if !answer.use_stderr() && e.kind() != ErrorKind::BrokenPipe => {
            fail(program, format_args!("cannot write the output: {e}"))
        }
        _ => ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(1)),
    }
}

/// Reports a fatal error. It does not go through the log, which RUST_LOG may silence.
pub fn fail(program: &str, why: impl Display) -> ExitCode {
    // The exit code still tells if stderr is full or closed.
    let _ = writeln!(io::stderr(), "{program}: {why}");
    ExitCode::FAILURE
}

/// Starts the log on stderr, with the filter of RUST_LOG or else this one.
pub fn start_log(default_filter: &str) {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let mut log = env_logger::Builder::new();
    log.parse_filters(variable("RUST_LOG").as_deref().unwrap_or(default_filter));
    if let Some(style) = variable("RUST_LOG_STYLE") {
        log.parse_write_style(&style);
    }
    log.init();
}

/// An empty environment variable counts as unset. clap takes it for an empty value.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &ffi::OsStr| env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| match arg.get_env().is_some_and(is_empty) {
            true => arg.env(Resettable::Reset),
            false => arg,
        })
        .mut_subcommands(without_empty_variables)
}

/// Makes an error show the same usage line as the help. clap adds each option that is given to
/// the usage line of an error, as if it were required: also one that a variable gives.
pub(crate) fn with_whole_usage(mut command: clap::Command) -> clap::Command {
    command.build();
    fixed_usage(command)
}

fn fixed_usage(mut command: clap::Command) -> clap::Command {
    let usage = command.render_usage();
    let styled = usage.ansi().to_string();
    // The title has no space. clap adds it again.
    let mut line = styled.split_once(' ').map_or("", |(_title, line)| line).to_owned();
    if usage.to_string().starts_with("Usage:  ") {
        // A program without a name, the REPL, has a space in place of the name.
        line = line.replacen(' ', "", 1);
    }
    command.override_usage(StyledStr::from(line)).mut_subcommands(fixed_usage)
}
