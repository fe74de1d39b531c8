use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use anstream::{AutoStream, ColorChoice};
use anstyle::Style;
use parking_lot::Mutex;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use super::control::arguments;
use super::line::{first_word, grammar};
use super::tasks::KnownTasks;
use crate::cli::render::Shown;
use crate::client::proto::Task;
use crate::limits::COMPLETION_IDS_MAX;

/// Characters of a title beside its id, at most.
const TITLE_CHARS_SHOWN: usize = 50;

/// Helps while a line is typed: completes commands and ids, hints at arguments.
pub struct Assist {
    grammar: clap::Command,
    tasks: Arc<Mutex<KnownTasks>>,
    /// Hints need to look other than what is typed.
    has_styles: bool,
    /// What is typed is an answer, not a command.
    pub is_asking: bool,
}

impl Assist {
    pub fn new(tasks: Arc<Mutex<KnownTasks>>) -> Assist {
        let has_styles = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
        Assist { grammar: grammar(), tasks, has_styles, is_asking: false }
    }

    /// What the last word of `line` could become, and where that word starts.
    fn candidates(&self, line: &str) -> (usize, Vec<Pair>) {
        let start = line
            .rfind(char::is_whitespace)
            .map_or(0, |at| at + line[at..].chars().next().map_or(0, char::len_utf8));
        let (before, word) = line.split_at(start);
        let (name, arguments) = first_word(before);
        let pairs = match name {
            "" | "help" if arguments.is_empty() => self.commands(word),
            _ if word.starts_with('-') => self.options(name, word),
            "completions" if arguments.is_empty() => self.shells(word),
            "show" | "edit" | "wait" | "history" if !arguments.is_empty() => Vec::new(),
            _ => self.ids(name, arguments, word),
        };
        (start, pairs)
    }

    fn commands(&self, word: &str) -> Vec<Pair> {
        let names = self.grammar.get_subcommands().map(clap::Command::get_name);
        names.filter(|name| name.starts_with(word)).map(|name| pair(name, name)).collect()
    }

    /// The rest of `add` and `edit` is a title.
    fn options(&self, name: &str, word: &str) -> Vec<Pair> {
        let command =
            self.grammar.find_subcommand(name).filter(|_| name != "add" && name != "edit");
        let longs =
            command.into_iter().flat_map(|c| c.get_arguments()).filter_map(|a| a.get_long());
        let options = longs.map(|long| format!("--{long}"));
        options.filter(|option| option.starts_with(word)).map(|o| pair(&o, &o)).collect()
    }

    fn shells(&self, word: &str) -> Vec<Pair> {
        let command = self.grammar.find_subcommand("completions");
        let args = command.into_iter().flat_map(clap::Command::get_positionals);
        let values = args.flat_map(clap::Arg::get_possible_values);
        let shells = values.map(|value| value.get_name().to_owned());
        shells.filter(|shell| shell.starts_with(word)).map(|s| pair(&s, &s)).collect()
    }

    /// Ids of tasks that the command can do something for, each once a line: of many,
    /// the newest, as more would not fit a screen.
    fn ids(&self, name: &str, arguments: &str, word: &str) -> Vec<Pair> {
        let tasks = self.tasks.lock();
        let fitting = tasks.iter().filter(|task| fits(name, task));
        let mut pairs: Vec<_> = fitting
            .rev()
            .map(|task| (task.id.to_string(), task))
            .filter(|(id, _)| id.starts_with(word))
            .filter(|(id, _)| !arguments.split_whitespace().any(|other| other == id))
            .map(|(id, task)| pair(&format!("{id}  {}", short_title(task)), &id))
            .take(COMPLETION_IDS_MAX)
            .collect();
        pairs.reverse();
        pairs
    }

    /// Dimmed behind the line: the arguments of a command, the title of an id.
    fn hint_for(&self, line: &str) -> Option<String> {
        let (name, rest) = first_word(line);
        let command = self.grammar.find_subcommand(name)?;
        if rest.is_empty() {
            let gap = if line.ends_with(char::is_whitespace) { "" } else { " " };
            let arguments = arguments(command);
            return (!arguments.is_empty()).then(|| format!("{gap}{arguments}"));
        }
        if line.ends_with(char::is_whitespace) || name == "edit" && rest.contains(' ') {
            return None;
        }
        let id = rest.split_whitespace().last()?.parse().ok()?;
        let tasks = self.tasks.lock();
        let task = tasks.get(id).filter(|task| fits(name, task))?;
        Some(format!("  {}", short_title(task)))
    }
}

/// Whether the command can do something for the task.
fn fits(name: &str, task: &Task) -> bool {
    match name {
        "show" | "history" => true,
        "done" | "wait" => !task.deleted && !task.completed,
        "reopen" => !task.deleted && task.completed,
        "edit" | "rm" => !task.deleted,
        "restore" => task.deleted,
        _ => false,
    }
}

fn short_title(task: &Task) -> String {
    let shown = Shown(&task.title).to_string();
    match shown.char_indices().nth(TITLE_CHARS_SHOWN) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown,
    }
}

fn pair(display: &str, replacement: &str) -> Pair {
    Pair { display: display.to_owned(), replacement: format!("{replacement} ") }
}

impl Completer for Assist {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        match line.get(..pos) {
            Some(before) if !self.is_asking => Ok(self.candidates(before)),
            _ => Ok((pos, Vec::new())),
        }
    }
}

/// Shown, but never inserted.
pub struct Hint(String);

impl rustyline::hint::Hint for Hint {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Assist {
    type Hint = Hint;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<Hint> {
        let is_wanted = self.has_styles && !self.is_asking && pos == line.len();
        is_wanted.then(|| self.hint_for(line)).flatten().map(Hint)
    }
}

impl Highlighter for Assist {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        let dim = Style::new().dimmed();
        Cow::Owned(format!("{dim}{hint}{dim:#}"))
    }
}

impl Validator for Assist {}

impl Helper for Assist {}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn assist() -> Assist {
        let mut tasks = KnownTasks::default();
        for (id, title, completed, deleted) in [
            (1, "Buy milk", false, false),
            (2, "Sweep\x1b[31m", true, false),
            (12, "Call mum", false, false),
            (30, "old", true, true),
            (40, &*"long ".repeat(40), false, true),
        ] {
            let title = title.to_owned();
            tasks.put(Task { id, title, completed, deleted, ..Default::default() });
        }
        let mut assist = Assist::new(Arc::new(Mutex::new(tasks)));
        assist.has_styles = true;
        assist
    }

    #[test]
    fn completions() {
        let assist = assist();
        let table: String = [
            "",
            "re",
            "x",
            "help r",
            "help rm ",
            "done ",
            "done 1",
            "done 1 ",
            "reopen ",
            "edit ",
            "edit 1 ",
            "edit 1 B",
            "show ",
            "show 1 ",
            "restore ",
            "add ",
            "add -",
            "list --",
            "list --c",
            "watch -",
            "wait ",
            "wait 1 --",
            "history 3",
            "history 30 ",
            "completions z",
            "done\u{3000}1",
            "none ",
        ]
        .iter()
        .map(|line| {
            let (start, pairs) = assist.candidates(line);
            let shown: String = pairs.iter().map(|p| format!(" {}.", p.display)).collect();
            format!("{line:?} at {start}:{shown}\n")
        })
        .collect();
        expect![[r#"
            "" at 0: add. list. show. done. reopen. edit. rm. restore. watch. wait. history. web. completions. help. exit. quit.
            "re" at 0: reopen. restore.
            "x" at 0:
            "help r" at 5: reopen. rm. restore.
            "help rm " at 8:
            "done " at 5: 1  Buy milk. 12  Call mum.
            "done 1" at 5: 1  Buy milk. 12  Call mum.
            "done 1 " at 7: 12  Call mum.
            "reopen " at 7: 2  Sweep\u{1b}[31m.
            "edit " at 5: 1  Buy milk. 2  Sweep\u{1b}[31m. 12  Call mum.
            "edit 1 " at 7:
            "edit 1 B" at 7:
            "show " at 5: 1  Buy milk. 2  Sweep\u{1b}[31m. 12  Call mum. 30  old. 40  long long long long long long long long long long ….
            "show 1 " at 7:
            "restore " at 8: 30  old. 40  long long long long long long long long long long ….
            "add " at 4:
            "add -" at 4:
            "list --" at 5: --open. --completed. --deleted. --all. --at.
            "list --c" at 5: --completed.
            "watch -" at 6: --open. --completed. --deleted. --all. --from. --snapshot. --until-revision. --state. --count.
            "wait " at 5: 1  Buy milk. 12  Call mum.
            "wait 1 --" at 7: --completed. --deleted. --revision. --timeout.
            "history 3" at 8: 30  old.
            "history 30 " at 11:
            "completions z" at 12: zsh.
            "done\u{3000}1" at 7: 1  Buy milk. 12  Call mum.
            "none " at 5:
        "#]].assert_eq(&table);
    }

    #[test]
    fn hints() {
        let assist = assist();
        let table: String = [
            "",
            "d",
            "done",
            "done ",
            "done 1",
            "done 2",
            "done 1 12",
            "done 1 ",
            "edit",
            "edit 1",
            "edit 1 2",
            "add",
            "add 1",
            "list",
            "watch",
            "wait",
            "wait 1",
            "wait 2",
            "history",
            "history 2",
            "help",
            "exit",
            "completions",
            "none",
        ]
        .iter()
        .map(|line| format!("{line}|{}\n", assist.hint_for(line).unwrap_or_default()))
        .collect();
        expect![[r#"
            |
            d|
            done| ID...
            done |ID...
            done 1|  Buy milk
            done 2|
            done 1 12|  Call mum
            done 1 |
            edit| ID TITLE...
            edit 1|  Buy milk
            edit 1 2|
            add| TITLE...
            add 1|
            list| [--open] [--completed] [--deleted] [--all] [--at REV]
            watch| [OPTIONS]
            wait| ID [OPTIONS]
            wait 1|  Buy milk
            wait 2|
            history| [ID] [--from REV] [--to REV]
            history 2|  Sweep\u{1b}[31m
            help| [COMMAND]
            exit|
            completions| SHELL
            none|
        "#]]
        .assert_eq(&table);
    }
}
