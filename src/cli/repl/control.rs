use std::fmt::Write;
use std::io;

use clap::Subcommand;

use super::Done;
use super::line::{grammar, help_for};
use crate::cli::Exit;
use crate::cli::output::Out;

/// Width of the overview's first column, which has the command and its arguments.
const USAGE_COLUMN: usize = 42;
/// Characters of arguments that are shown one by one; more are shown as `[OPTIONS]`.
const ARGUMENTS_SHOWN: usize = 60;

/// A command of the session.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(super) enum Control {
    /// List the commands, or explain one
    Help {
        /// The command
        command: Option<String>,
    },
    /// Leave the session
    Exit,
    /// Leave the session
    Quit,
}

pub(super) fn run(control: &Control, out: &mut Out) -> io::Result<Done> {
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
        let usage = match usage.len() {
            ..USAGE_COLUMN => usage,
            _ => format!("{usage}\n  {:USAGE_COLUMN$}", ""),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {usage:<USAGE_COLUMN$}{about}");
    }
    text.push_str(
        "\nThe title of add and edit is the rest of the line as typed.\n\
         On a terminal: 1 adds a task, 2 lists tasks, 3 completes one, 4 leaves.\n",
    );
    text
}

/// Returns what may follow a command's name, such as `[--count N]` or `ID...`.
pub(super) fn arguments(command: &clap::Command) -> String {
    let is_shown = |arg: &&clap::Arg| !arg.is_global_set() && !arg.is_hide_set();
    let shown: Vec<_> = command.get_arguments().filter(is_shown).collect();
    let values = shown.iter().filter_map(|arg| value(arg));
    let options = shown.iter().filter_map(|arg| option(arg));
    let all = values.clone().chain(options).collect::<Vec<_>>().join(" ");
    match all.len() {
        ..=ARGUMENTS_SHOWN => all,
        _ => values.chain(["[OPTIONS]".to_owned()]).collect::<Vec<_>>().join(" "),
    }
}

fn option(arg: &clap::Arg) -> Option<String> {
    match arg.get_long()? {
        "help" => None,
        long if arg.get_action().takes_values() => Some(format!("[--{long} {}]", name(arg))),
        long => Some(format!("[--{long}]")),
    }
}

fn value(arg: &clap::Arg) -> Option<String> {
    if arg.get_long().is_some() {
        return None;
    }
    let many = if arg.get_action().takes_values() && is_many(arg) { "..." } else { "" };
    let named = format!("{}{many}", name(arg));
    Some(if arg.is_required_set() { named } else { format!("[{named}]") })
}

fn name(arg: &clap::Arg) -> String {
    let names = arg.get_value_names();
    names.and_then(|names| names.first()).map(ToString::to_string).unwrap_or_default()
}

fn is_many(arg: &clap::Arg) -> bool {
    matches!(arg.get_action(), clap::ArgAction::Append)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn overview_of_all_commands() {
        expect![[r#"
              add TITLE...                              Add a task
              list [--open] [--completed] [--deleted] [--all] [--at REV]
                                                        List tasks
              show ID                                   Show a task's details
              done ID...                                Mark tasks completed
              reopen ID...                              Reopen completed tasks
              edit ID TITLE...                          Change a task's title
              rm ID...                                  Delete tasks; `restore` undoes it
              restore ID...                             Restore deleted tasks
              purge ID...                               Remove deleted tasks for good
              watch [OPTIONS]                           Print changes as they happen
              wait ID [OPTIONS]                         Wait until a task is completed, deleted or changed
              history [ID] [--from REV] [--to REV]      Print past changes of one task or of all tasks
              web [--url URL]                           Open the web page in the browser
              completions SHELL                         Print a completion script for a shell
              help [COMMAND]                            List the commands, or explain one
              exit                                      Leave the session
              quit                                      Leave the session

            The title of add and edit is the rest of the line as typed.
            On a terminal: 1 adds a task, 2 lists tasks, 3 completes one, 4 leaves.
        "#]].assert_eq(&overview());
    }
}
