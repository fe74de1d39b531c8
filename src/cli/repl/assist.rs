use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use anstream::{AutoStream, ColorChoice};
use anstyle::Style;
use parking_lot::Mutex;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::line_buffer::LineBuffer;
use rustyline::validate::Validator;
use rustyline::{Changeset, Context, Helper};

use super::cache::TaskCache;
use super::control::arguments;
use super::keys::Search;
use super::line::{examples, first_word, grammar};
use crate::cli::args::{Command, Completion};
use crate::cli::render::Shown;
use crate::client::proto::Task;
use crate::limits::COMPLETION_CANDIDATES_MAX;

/// Characters of a title that are shown beside its id.
const TITLE_CHARS_SHOWN: usize = 50;
/// Lines of the screen that a list of candidates leaves free, for the prompt.
const PROMPT_ROWS: usize = 2;

/// Completes commands, options and ids while a line is typed, and hints at arguments.
pub(super) struct Assist {
    grammar: clap::Command,
    /// An example of each command, by name.
    commands: HashMap<String, Command>,
    tasks: Arc<Mutex<TaskCache>>,
    search: Arc<Mutex<Search>>,
    /// Hints must look different from what is typed.
    has_styles: bool,
    /// Whether what is typed answers a question, and is not a command.
    pub(super) is_asking: bool,
    /// The line before the cursor and after it.
    typed: RefCell<(String, String)>,
}

impl Assist {
    pub(super) fn new(tasks: Arc<Mutex<TaskCache>>, search: Arc<Mutex<Search>>) -> Assist {
        let has_styles = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
        Assist {
            grammar: grammar(),
            commands: examples(),
            tasks,
            search,
            has_styles,
            is_asking: false,
            typed: RefCell::default(),
        }
    }

    /// Returns the line as it was typed so far: before the cursor and after it.
    pub(super) fn typed(&self) -> (String, String) {
        self.typed.borrow().clone()
    }

    /// Returns where the last word of `line` starts, and what it could become: at most
    /// `most` candidates.
    fn candidates(&self, line: &str, most: usize) -> (usize, Vec<Pair>) {
        let start = line
            .rfind(char::is_whitespace)
            .map_or(0, |at| at + line[at..].chars().next().map_or(0, char::len_utf8));
        let (before, word) = line.split_at(start);
        let (name, arguments) = first_word(before);
        let command = self.commands.get(name);
        let completion = command.map_or(Completion::Nothing, Command::completion);
        let pairs = match (completion, command) {
            _ if ["", "help"].contains(&name) && arguments.is_empty() => self.commands(word),
            (Completion::Nothing, _) | (_, None) => Vec::new(),
            (Completion::IdThenText, _) if word.starts_with('-') => Vec::new(),
            _ if word.starts_with('-') => self.options(name, word),
            (Completion::Shell, _) if arguments.is_empty() => self.shells(name, word),
            (Completion::Id | Completion::IdThenText, Some(command)) if arguments.is_empty() => {
                self.ids(command, arguments, word)
            }
            (Completion::Ids, Some(command)) => self.ids(command, arguments, word),
            _ => Vec::new(),
        };
        (start, newest(pairs, most, word))
    }

    fn commands(&self, word: &str) -> Vec<Pair> {
        let names = self.grammar.get_subcommands().map(clap::Command::get_name);
        names.filter(|name| name.starts_with(word)).map(|name| pair(name, name)).collect()
    }

    fn options(&self, name: &str, word: &str) -> Vec<Pair> {
        let command = self.grammar.find_subcommand(name);
        let longs =
            command.into_iter().flat_map(|c| c.get_arguments()).filter_map(|a| a.get_long());
        let options = longs.map(|long| format!("--{long}"));
        options.filter(|option| option.starts_with(word)).map(|o| pair(&o, &o)).collect()
    }

    fn shells(&self, name: &str, word: &str) -> Vec<Pair> {
        let command = self.grammar.find_subcommand(name);
        let args = command.into_iter().flat_map(clap::Command::get_positionals);
        let values = args.flat_map(clap::Arg::get_possible_values);
        let shells = values.map(|value| value.get_name().to_owned());
        shells.filter(|shell| shell.starts_with(word)).map(|s| pair(&s, &s)).collect()
    }

    /// Returns the ids of tasks that the command applies to and that are not in the line yet.
    fn ids(&self, command: &Command, arguments: &str, word: &str) -> Vec<Pair> {
        let tasks = self.tasks.lock();
        let fitting = tasks.iter().filter(|task| command.applies_to(task));
        fitting
            .map(|task| (task.id.to_string(), task))
            .filter(|(id, _)| id.starts_with(word))
            .filter(|(id, _)| !arguments.split_whitespace().any(|other| other == id))
            .map(|(id, task)| pair(&format!("{id}  {}", short_title(task)), &id))
            .collect()
    }

    /// Returns what is shown dimmed behind the line: the arguments of a command, or the
    /// title of an id.
    fn hint_for(&self, line: &str) -> Option<String> {
        let (name, rest) = first_word(line);
        let grammar = self.grammar.find_subcommand(name)?;
        if rest.is_empty() {
            let gap = if line.ends_with(char::is_whitespace) { "" } else { " " };
            let arguments = arguments(grammar);
            return (!arguments.is_empty()).then(|| format!("{gap}{arguments}"));
        }
        let command = self.commands.get(name)?;
        let is_text = command.completion() == Completion::IdThenText && rest.contains(' ');
        if line.ends_with(char::is_whitespace) || is_text {
            return None;
        }
        let id = rest.split_whitespace().last()?.parse().ok()?;
        let tasks = self.tasks.lock();
        let task = tasks.get(id).filter(|task| command.applies_to(task))?;
        Some(format!("  {}", short_title(task)))
    }
}

/// Keeps the last `most` candidates. A line that says how many are left out stands for the
/// others: it also keeps rustyline from completing what only the shown ones have in common.
fn newest(mut pairs: Vec<Pair>, most: usize, word: &str) -> Vec<Pair> {
    let left_out = (pairs.len() + 1).saturating_sub(most);
    if left_out > 1 {
        let display = format!("({left_out} more)");
        pairs.splice(..left_out, [Pair { display, replacement: word.to_owned() }]);
    }
    pairs
}

/// Returns how many candidates fit the screen, one per row: rustyline would show more of
/// them page by page, and no announcement between the pages.
fn candidates_max() -> usize {
    let rows = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| size.ws_row);
    usize::from(rows).saturating_sub(PROMPT_ROWS).clamp(2, COMPLETION_CANDIDATES_MAX)
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
        if let Some(line) = self.search.lock().new_line.clone() {
            return Ok((0, vec![Pair { display: String::new(), replacement: line }]));
        }
        match line.get(..pos) {
            Some(before) if !self.is_asking => Ok(self.candidates(before, candidates_max())),
            _ => Ok((pos, Vec::new())),
        }
    }

    fn update(&self, line: &mut LineBuffer, start: usize, elected: &str, changes: &mut Changeset) {
        let is_whole = self.search.lock().new_line.take().is_some();
        let end = if is_whole { line.len() } else { line.pos() };
        line.replace(start..end, elected, changes);
    }
}

/// Text that is shown, but never inserted.
pub(super) struct Hint(String);

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
        // rustyline calls this after every change of the line.
        let (before, after) = line.split_at_checked(pos).unwrap_or((line, ""));
        *self.typed.borrow_mut() = (before.to_owned(), after.to_owned());
        let is_wanted = self.has_styles && !self.is_asking && pos == line.len();
        if !is_wanted {
            return None;
        }
        let search = self.search.lock().hint(line);
        search.or_else(|| self.hint_for(line)).map(Hint)
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
        let mut tasks = TaskCache::default();
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
        let mut assist = Assist::new(Arc::new(Mutex::new(tasks)), Arc::default());
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
            let (start, pairs) = assist.candidates(line, 20);
            let shown: String = pairs.iter().map(|p| format!(" {}.", p.display)).collect();
            format!("{line:?} at {start}:{shown}\n")
        })
        .collect();
        expect![[r#"
            "" at 0: add. list. show. done. reopen. edit. rm. restore. purge. watch. wait. history. web. completions. help. exit. quit.
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
    fn the_newest_candidates_are_kept_and_the_others_counted() {
        let assist = assist();
        let shown = |line: &str, most| -> Vec<String> {
            assist.candidates(line, most).1.iter().map(|pair| pair.display.clone()).collect()
        };
        assert_eq!(shown("edit ", 3).len(), 3);
        assert_eq!(shown("edit ", 2), ["(2 more)", "12  Call mum"]);
        // Not "12 ", which is only what the shown candidates have in common.
        let common = rustyline::completion::longest_common_prefix;
        assert_eq!(common(&assist.candidates("edit 1", 1).1), Some("1"));
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
