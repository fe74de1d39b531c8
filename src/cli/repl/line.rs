use std::collections::HashMap;
use std::{io, iter, mem};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use super::control::Control;
use crate::cli::Exit;
use crate::cli::args::{Command, GLOBAL_OPTIONS};
use crate::cli::input::BYTE_ORDER_MARK;
use crate::cli::output::Out;
use crate::cli::program::with_whole_usage;

/// A parsed line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Command {
        command: Command,
        /// Whether this line's output is JSON.
        json: bool,
    },
    Control(Control),
}

/// A line that runs no command.
#[derive(Debug)]
pub(super) enum NotRun {
    /// A mistake, or a request for help such as `done --help`.
    Clap(clap::Error),
    AddFromStdin,
}

/// The grammar of a line: the commands of the shell, and those of the session.
#[derive(Parser)]
#[command(no_binary_name = true, bin_name = "", disable_help_subcommand = true, about = None)]
#[command(override_usage = "COMMAND [ARGUMENTS]")]
struct Grammar {
    /// Print JSON, one object per line
    #[arg(long, global = true, help_heading = GLOBAL_OPTIONS)]
    json: bool,

    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    #[command(flatten)]
    Command(Command),
    #[command(flatten)]
    Control(Control),
}

/// Returns the grammar for parsing, help, completion and hints.
pub(super) fn grammar() -> clap::Command {
    let mut grammar = Grammar::command();
    if let Some(add) = grammar.find_subcommand_mut("add") {
        // The title is the rest of the line, so there are no options.
        *add = mem::take(add)
            .about("Add a task")
            .mut_arg("quiet", |quiet| quiet.hide(true))
            .override_help("Add a task\n\nUsage: add TITLE...\n\nThe title is the rest of the line as typed.\n");
    }
    if let Some(edit) = grammar.find_subcommand_mut("edit") {
        *edit = mem::take(edit).override_help(
            "Change a task's title\n\nUsage: edit ID TITLE...\n\nThe title is the rest of the line as typed.\n",
        );
    }
    grammar
}

/// Returns one valid example of each command, by name.
pub(super) fn examples() -> HashMap<String, Command> {
    let grammar = grammar();
    let commands = grammar.get_subcommands().filter_map(|command| {
        let required = command.get_positionals().filter(|arg| arg.is_required_set());
        // 0 is an id and a title.
        let values = required.map(|arg| {
            let values = arg.get_possible_values();
            values.first().map_or_else(|| "0".to_owned(), |value| value.get_name().to_owned())
        });
        let words: Vec<_> = iter::once(command.get_name().to_owned()).chain(values).collect();
        let matches = grammar.clone().try_get_matches_from(words).ok()?;
        match Grammar::from_arg_matches(&matches).ok()?.what {
            What::Command(example) => Some((command.get_name().to_owned(), example)),
            What::Control(_) => None,
        }
    });
    commands.collect()
}

/// Returns clap's answer to `NAME --help`.
pub(super) fn help_for(name: &str) -> Option<NotRun> {
    with_whole_usage(grammar()).try_get_matches_from([name, "--help"]).err().map(NotRun::Clap)
}

/// Parses a line; `None` if it is blank. The title of `add` and `edit` is the rest of the
/// line as typed.
pub(super) fn parse(line: &str) -> Result<Option<Line>, NotRun> {
    // A pasted file may start with a byte order mark.
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim();
    let (name, rest) = first_word(line);
    let words = match name {
        "" => return Ok(None),
        "add" if rest == "-" => return Err(NotRun::AddFromStdin),
        "add" if !rest.is_empty() => vec![name, "--", rest],
        "edit" => {
            let (id, title) = first_word(rest);
            match title {
                "" => line.split_whitespace().collect(),
                _ => vec![name, id, "--", title],
            }
        }
        _ => line.split_whitespace().collect(),
    };
    let matches = with_whole_usage(grammar()).try_get_matches_from(words).map_err(NotRun::Clap)?;
    let Grammar { json, what } = Grammar::from_arg_matches(&matches).map_err(NotRun::Clap)?;
    Ok(Some(match what {
        What::Command(command) => Line::Command { command, json },
        What::Control(control) => Line::Control(control),
    }))
}

/// Splits off the first word. The rest has no white space around it.
pub(super) fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

impl NotRun {
    /// Prints the help, or what is wrong.
    pub(super) fn explain(&self, out: &mut Out) -> io::Result<Exit> {
        match self {
            NotRun::Clap(e) if e.use_stderr() => {
                out.notice(e.render().ansi());
                Ok(Exit::Usage)
            }
            NotRun::Clap(e) => {
                out.text(e.render().ansi())?;
                out.flush()?;
                Ok(Exit::Ok)
            }
            NotRun::AddFromStdin => {
                out.message("`add -` reads titles from a pipe: run `todo add -` in a shell");
                Ok(Exit::Usage)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn check(line: &str) -> String {
        match parse(line) {
            Ok(None) => "blank".to_owned(),
            Ok(Some(Line::Command { command: Command::Add(add), .. })) => {
                format!("add {:?}, quiet {}", add.title, add.quiet)
            }
            Ok(Some(Line::Command { command: Command::Edit(edit), .. })) => {
                format!("edit {} {:?}", edit.task.id, edit.title)
            }
            Ok(Some(Line::Command { command, json })) => format!("{command:?}, json {json}"),
            Ok(Some(Line::Control(control))) => format!("{control:?}"),
            Err(NotRun::AddFromStdin) => "add from stdin".to_owned(),
            Err(NotRun::Clap(e)) => format!("{:?}", e.kind()),
        }
    }

    #[test]
    fn every_command_has_an_example() {
        let grammar = grammar();
        let control = Control::augment_subcommands(clap::Command::new("control"));
        let is_control = |name: &str| control.find_subcommand(name).is_some();
        let names = grammar.get_subcommands().map(clap::Command::get_name);
        let mut missing = names.filter(|name| !is_control(name) && !examples().contains_key(*name));
        assert_eq!(missing.next(), None);
    }

    #[test]
    fn lines() {
        let lines = [
            "",
            " \t ",
            "add Buy milk",
            "  add  Buy  \"two\"   milks  ",
            "add Don't forget",
            "add -q x",
            "add --help",
            "add -- x",
            "\u{feff}add x",
            "add -",
            "add  - ",
            "add - x",
            "add",
            "add\tx",
            "ADD x",
            "edit 7 Don't  \"forget\"",
            "edit 7 --json",
            "edit 7 -",
            "edit 7",
            "edit x y",
            "edit 0 y",
            "edit",
            "done 1 2  3",
            "done",
            "done x",
            "done 99999999999",
            "done 0",
            "done -1",
            "done --help",
            "list",
            "list --open --json",
            "--json list",
            "list --open --completed",
            "show 1 2",
            "watch --count 0",
            "watch --count 2",
            "watch --all --from 0 --snapshot --until-revision 9 --state f",
            "watch --from -1",
            "wait",
            "wait 7",
            "wait 7 --timeout 5s --deleted",
            "wait 7 --deleted --revision 3",
            "history",
            "history 7 --from 1 --to 2",
            "completions zsh",
            "help",
            "help done",
            "exit",
            "quit",
            "exit now",
            "--help",
            "done \u{1b}[31m",
            "none",
        ];
        let table: String =
            lines.iter().map(|line| format!("{line:?}: {}\n", check(line))).collect();
        expect![[r#"
            "": blank
            " \t ": blank
            "add Buy milk": add ["Buy milk"], quiet false
            "  add  Buy  \"two\"   milks  ": add ["Buy  \"two\"   milks"], quiet false
            "add Don't forget": add ["Don't forget"], quiet false
            "add -q x": add ["-q x"], quiet false
            "add --help": add ["--help"], quiet false
            "add -- x": add ["-- x"], quiet false
            "\u{feff}add x": add ["x"], quiet false
            "add -": add from stdin
            "add  - ": add from stdin
            "add - x": add ["- x"], quiet false
            "add": MissingRequiredArgument
            "add\tx": add ["x"], quiet false
            "ADD x": InvalidSubcommand
            "edit 7 Don't  \"forget\"": edit 7 ["Don't  \"forget\""]
            "edit 7 --json": edit 7 ["--json"]
            "edit 7 -": edit 7 ["-"]
            "edit 7": MissingRequiredArgument
            "edit x y": ValueValidation
            "edit 0 y": edit 0 ["y"]
            "edit": MissingRequiredArgument
            "done 1 2  3": Done(SomeTasks { ids: [1, 2, 3] }), json false
            "done": MissingRequiredArgument
            "done x": ValueValidation
            "done 99999999999": ValueValidation
            "done 0": Done(SomeTasks { ids: [0] }), json false
            "done -1": Done(SomeTasks { ids: [-1] }), json false
            "done --help": DisplayHelp
            "list": List(ListArgs { filter: FilterArgs { open: false, completed: false, deleted: false, all: false }, at: None }), json false
            "list --open --json": List(ListArgs { filter: FilterArgs { open: true, completed: false, deleted: false, all: false }, at: None }), json true
            "--json list": List(ListArgs { filter: FilterArgs { open: false, completed: false, deleted: false, all: false }, at: None }), json true
            "list --open --completed": ArgumentConflict
            "show 1 2": UnknownArgument
            "watch --count 0": ValueValidation
            "watch --count 2": Watch(WatchArgs { filter: FilterArgs { open: false, completed: false, deleted: false, all: false }, from: None, snapshot: false, until_revision: None, state: None, count: Some(2) }), json false
            "watch --all --from 0 --snapshot --until-revision 9 --state f": Watch(WatchArgs { filter: FilterArgs { open: false, completed: false, deleted: false, all: true }, from: Some(0), snapshot: true, until_revision: Some(9), state: Some("f"), count: None }), json false
            "watch --from -1": UnknownArgument
            "wait": MissingRequiredArgument
            "wait 7": Wait(WaitArgs { task: OneTask { id: 7 }, until: Until { completed: false, deleted: false, revision: None }, timeout: None }), json false
            "wait 7 --timeout 5s --deleted": Wait(WaitArgs { task: OneTask { id: 7 }, until: Until { completed: false, deleted: true, revision: None }, timeout: Some(5s) }), json false
            "wait 7 --deleted --revision 3": ArgumentConflict
            "history": History(HistoryArgs { id: None, from: None, to: None }), json false
            "history 7 --from 1 --to 2": History(HistoryArgs { id: Some(7), from: Some(1), to: Some(2) }), json false
            "completions zsh": Completions { shell: Zsh }, json false
            "help": Help { command: None }
            "help done": Help { command: Some("done") }
            "exit": Exit
            "quit": Quit
            "exit now": UnknownArgument
            "--help": DisplayHelp
            "done \u{1b}[31m": ValueValidation
            "none": InvalidSubcommand
        "#]].assert_eq(&table);
    }
}
