use std::fmt::Write;
use std::io;

use clap::Subcommand;

use super::Done;
use super::line::{grammar, help_for};
use crate::cli::Exit;
use crate::cli::output::Out;

/// What concerns the session, not the list.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Control {
    /// List the commands, or explain one
    Help {
        /// The command
        command: Option<String>,
    },
    /// Leave
    Exit,
    /// Leave
    Quit,
}

pub fn run(control: &Control, out: &mut Out) -> io::Result<Done> {
    match control {
        Control::Exit | Control::Quit => return Ok(Done::Leave),
        Control::Help { command: None } => out.text(overview())?,
        Control::Help { command: Some(name) } => {
            if let Some(answer) = help_for(name) {
                return answer.explain(out).map(Done::Command);
            }
        }
    }
    out.flush()?;
    Ok(Done::Command(Exit::Ok))
}

fn overview() -> String {
    let mut text = String::new();
    for command in grammar().get_subcommands() {
        let usage = format!("{} {}", command.get_name(), arguments(command));
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {usage:<42}{about}");
    }
    text.push_str(
        "\nThe title of add and edit is the rest of the line as typed.\n\
         On a terminal: 1 adds a task, 2 lists, 3 completes one, 4 leaves.\n",
    );
    text
}

/// What may follow a command's name, such as `[--count N]` or `ID...`.
pub fn arguments(command: &clap::Command) -> String {
    let mut parts = Vec::new();
    for arg in command.get_arguments().filter(|arg| !arg.is_global_set() && !arg.is_hide_set()) {
        let value = arg.get_value_names().and_then(|names| names.first());
        let value = value.map(ToString::to_string).unwrap_or_default();
        parts.push(match arg.get_long() {
            Some("help") => continue,
            Some(long) if arg.get_action().takes_values() => format!("[--{long} {value}]"),
            Some(long) => format!("[--{long}]"),
            None => {
                let many = if arg.get_action().takes_values() && is_many(arg) { "..." } else { "" };
                let named = format!("{value}{many}");
                if arg.is_required_set() { named } else { format!("[{named}]") }
            }
        });
    }
    parts.join(" ")
}

fn is_many(arg: &clap::Arg) -> bool {
    matches!(arg.get_action(), clap::ArgAction::Append)
}
