use std::{io, mem};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use super::control::Control;
use crate::cli::Exit;
use crate::cli::args::Command;
use crate::cli::output::Out;

/// A line that was understood.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    Command {
        command: Command,
        /// For this line alone.
        json: bool,
    },
    Control(Control),
}

/// A line that is not to be run.
#[derive(Debug)]
pub enum NotRun {
    /// Wrong, or a question such as `done --help`.
    Clap(clap::Error),
    AddFromStdin,
}

/// The grammar of a line: the shell's commands, and control of the session.
#[derive(Parser)]
#[command(no_binary_name = true, disable_help_subcommand = true, about = None)]
#[command(override_usage = "COMMAND [ARGUMENTS], as help lists them")]
struct Grammar {
    /// Print JSON, one object a line
    #[arg(long, global = true)]
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

/// The grammar as clap knows it: for parsing, help, completion and hints.
pub fn grammar() -> clap::Command {
    let mut grammar = Grammar::command();
    if let Some(add) = grammar.find_subcommand_mut("add") {
        // Its title is the rest of the line, so it takes no option here.
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

/// clap's own answer to `NAME --help`.
pub fn help_for(name: &str) -> Option<NotRun> {
    grammar().try_get_matches_from([name, "--help"]).err().map(NotRun::Clap)
}

/// Understands a line; `None` if it is blank. The title of `add` and `edit` is the rest
/// of the line as typed.
pub fn parse(line: &str) -> Result<Option<Line>, NotRun> {
    let line = line.trim();
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
    let matches = grammar().try_get_matches_from(words).map_err(NotRun::Clap)?;
    let Grammar { json, what } = Grammar::from_arg_matches(&matches).map_err(NotRun::Clap)?;
    Ok(Some(match what {
        What::Command(command) => Line::Command { command, json },
        What::Control(control) => Line::Control(control),
    }))
}

/// The first word, and the rest without the white space around it.
pub fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

impl NotRun {
    /// Answers the question, or says what is wrong.
    pub fn explain(&self, out: &mut Out) -> io::Result<Exit> {
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
                out.message("`add -` reads titles from a pipe: use it in the shell, todo add -");
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
