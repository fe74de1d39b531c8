use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, value_parser};
use clap_complete::Shell;
use http::uri::{Authority, Uri};
use jiff::SignedDuration;

use crate::client::DEFAULT_SERVER;
use crate::client::proto::{Filter, Task};
use crate::limits::{CALL_TIMEOUT_DEFAULT, CALL_TIMEOUT_MAX};

/// The default address of todo-web's page.
const DEFAULT_PAGE: &str = "http://127.0.0.1:8080";

/// The heading of options that every command has, below the options of the command.
pub(crate) const GLOBAL_OPTIONS: &str = "Global options";

/// A shared, live task list. Without a command: an interactive session.
#[derive(Debug, Parser)]
#[command(name = "todo", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// Server address: HOST:PORT or unix:PATH
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL_OPTIONS,
        env = "TODO_SERVER",
        default_value = DEFAULT_SERVER,
        value_name = "ADDR",
        value_parser = server
    )]
    pub server: String,

    /// Print JSON, one object per line
    #[arg(long, global = true, help_heading = GLOBAL_OPTIONS)]
    pub json: bool,

    /// Time limit of a call, or of the whole `wait`, such as 500ms [default: 5s, wait: none]
    #[arg(long, global = true, help_heading = GLOBAL_OPTIONS)]
    #[arg(value_name = "DURATION", value_parser = timeout)]
    timeout: Option<Duration>,

    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Cli {
    /// Returns the time limit of one call. The time limit of `wait` is that of the wait.
    pub(crate) fn call_timeout(&self) -> Duration {
        match &self.command {
            Some(Command::Wait(_)) => CALL_TIMEOUT_DEFAULT,
            _ => self.timeout.unwrap_or(CALL_TIMEOUT_DEFAULT),
        }
    }
}

const EXIT_CODES: &str = "Exit codes: 0 success, 1 other failure, 2 usage error, 3 not found, \
    4 rejected (bad input, conflict, wrong state, limit), 5 not permitted, \
    6 unavailable or timed out, 130 interrupted. The first failure decides.";

/// A command of the shell and of the REPL.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Add a task, or with `-` one task per line of the standard input
    Add(AddArgs),
    /// List tasks
    List(ListArgs),
    /// Show a task's details
    Show(OneTask),
    /// Mark tasks completed
    Done(SomeTasks),
    /// Reopen completed tasks
    Reopen(SomeTasks),
    /// Change a task's title
    Edit(EditArgs),
    /// Delete tasks; `restore` undoes it
    Rm(SomeTasks),
    /// Restore deleted tasks
    Restore(SomeTasks),
    /// Remove deleted tasks for good
    Purge(SomeTasks),
    /// Print changes as they happen
    Watch(WatchArgs),
    /// Wait until a task is completed, deleted or changed
    Wait(WaitArgs),
    /// Print past changes of one task or of all tasks
    History(HistoryArgs),
    /// Open the web page in the browser
    Web(WebArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// What the REPL offers for the arguments of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completion {
    Nothing,
    /// Only the options.
    Options,
    /// The options and one id of a task.
    Id,
    /// The options and ids of tasks.
    Ids,
    /// One id; the rest of the line is text, without options.
    IdThenText,
    Shell,
}

impl Command {
    pub(crate) fn completion(&self) -> Completion {
        match self {
            Command::Add(_) => Completion::Nothing,
            Command::List(_) | Command::Watch(_) | Command::Web(_) => Completion::Options,
            Command::Show(_) | Command::Wait(_) | Command::History(_) => Completion::Id,
            Command::Edit(_) => Completion::IdThenText,
            Command::Done(_)
            | Command::Reopen(_)
            | Command::Rm(_)
            | Command::Restore(_)
            | Command::Purge(_) => Completion::Ids,
            Command::Completions { .. } => Completion::Shell,
        }
    }

    /// Whether the command is of use for the task in its present state.
    pub(crate) fn applies_to(&self, task: &Task) -> bool {
        match self {
            Command::Show(_) | Command::History(_) => true,
            Command::Done(_) | Command::Wait(_) => !task.deleted && !task.completed,
            Command::Reopen(_) => !task.deleted && task.completed,
            Command::Edit(_) | Command::Rm(_) => !task.deleted,
            Command::Restore(_) | Command::Purge(_) => task.deleted,
            Command::Add(_)
            | Command::List(_)
            | Command::Watch(_)
            | Command::Web(_)
            | Command::Completions { .. } => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct AddArgs {
    /// Print only the new id
    #[arg(short, long)]
    pub quiet: bool,

    /// Title; `-` reads one title per line from the standard input
    #[arg(required = true, value_name = "TITLE")]
    pub title: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub filter: FilterArgs,

    /// Show the list as it was at this revision
    #[arg(long, value_name = "REV", value_parser = revision())]
    pub at: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[group(multiple = false)]
pub struct FilterArgs {
    /// Only open tasks
    #[arg(long)]
    open: bool,

    /// Only completed tasks
    #[arg(long)]
    completed: bool,

    /// Only deleted tasks
    #[arg(long)]
    deleted: bool,

    /// All tasks, including deleted ones
    #[arg(long)]
    all: bool,
}

impl FilterArgs {
    pub(crate) fn filter(&self) -> Filter {
        match self {
            FilterArgs { open: true, .. } => Filter::OPEN,
            FilterArgs { completed: true, .. } => Filter::COMPLETED,
            FilterArgs { deleted: true, .. } => Filter::DELETED,
            FilterArgs { all: true, .. } => Filter::ANY,
            _ => Filter::LIVE,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct OneTask {
    /// ID of the task
    #[arg(value_name = "ID", value_parser = task_id, allow_negative_numbers = true)]
    pub id: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct SomeTasks {
    /// IDs of the tasks; a failure does not stop the others
    #[arg(required = true, value_name = "ID", value_parser = task_id, allow_negative_numbers = true)]
    pub ids: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct EditArgs {
    #[command(flatten)]
    pub task: OneTask,

    /// New title
    #[arg(required = true, value_name = "TITLE")]
    pub title: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct WatchArgs {
    #[command(flatten)]
    pub filter: FilterArgs,

    /// Start after this revision; 0 starts with the first change
    #[arg(long, value_name = "REV", value_parser = revision())]
    pub from: Option<i64>,

    /// Start with the present list; with --from or --state only if their history was compacted
    #[arg(long)]
    pub snapshot: bool,

    /// Exit once every change up to this revision is printed
    #[arg(long, value_name = "REV", value_parser = revision())]
    pub until_revision: Option<i64>,

    /// Save the position in FILE, and resume from it next time
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,

    /// Exit after this many changes; the tasks that --snapshot prints are not counted
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct WaitArgs {
    #[command(flatten)]
    pub task: OneTask,

    #[command(flatten)]
    pub until: Until,

    /// Time limit of the wait, such as 5m; none by default
    // In the shell this is the global option, wherever it stands: clap unites arguments with
    // the same id. The REPL has no global option, so there it belongs to `wait`.
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    pub timeout: Option<Duration>,
}

/// What `wait` waits for, as options.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[group(multiple = false)]
pub struct Until {
    /// Wait until the task is completed (the default)
    #[arg(long)]
    completed: bool,

    /// Wait until the task is deleted
    #[arg(long)]
    deleted: bool,

    /// Wait until the task has this revision or a later one
    #[arg(long, value_name = "REV", value_parser = revision())]
    revision: Option<i64>,
}

/// What `wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Completed,
    Deleted,
    Revision(i64),
}

impl Until {
    pub(crate) fn condition(&self) -> Condition {
        match *self {
            Until { completed: true, .. } => Condition::Completed,
            Until { deleted: true, .. } => Condition::Deleted,
            Until { revision: Some(revision), .. } => Condition::Revision(revision),
            _ => Condition::Completed,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct HistoryArgs {
    /// ID of the task; all tasks by default
    #[arg(value_name = "ID", value_parser = task_id, allow_negative_numbers = true)]
    pub id: Option<i32>,

    /// Only changes after this revision
    #[arg(long, value_name = "REV", value_parser = revision())]
    pub from: Option<i64>,

    /// Only changes up to this revision
    #[arg(long, value_name = "REV", value_parser = revision())]
    pub to: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct WebArgs {
    /// Address of the page
    #[arg(long, env = "TODO_WEB", default_value = DEFAULT_PAGE, value_parser = page_url)]
    pub url: PageUrl,
}

/// The address of a page: `http://HOST[:PORT]`, with an optional path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageUrl {
    pub text: String,
    /// `HOST:PORT`, with the scheme's port if the text has none.
    pub authority: String,
    /// Whether the scheme is https.
    pub is_https: bool,
}

fn page_url(text: &str) -> Result<PageUrl, String> {
    let invalid = || format!("expected http://HOST:PORT, such as {DEFAULT_PAGE}");
    let uri: Uri = text.parse().map_err(|_| invalid())?;
    let (is_https, default_port) = match uri.scheme_str() {
        Some("http") => (false, 80),
        Some("https") => (true, 443),
        _ => return Err(invalid()),
    };
    let host = uri.authority().map(Authority::as_str).unwrap_or_default();
    let authority = match uri.port() {
        Some(_) => server(host),
        None => server(&format!("{host}:{default_port}")),
    };
    let authority = authority.map_err(|_| invalid())?;
    Ok(PageUrl { text: text.to_owned(), authority, is_https })
}

/// Parses a revision. Revision 0 is before the first change.
fn revision() -> clap::builder::RangedI64ValueParser<i64> {
    value_parser!(i64).range(0..)
}

/// Parses the address of a server: HOST:PORT or unix:PATH. The transport itself would take
/// port 99999 for 34463, and look up a name without a port.
pub fn server(text: &str) -> Result<String, String> {
    let is_path = text.strip_prefix("unix:").is_some_and(|path| !path.is_empty());
    let is_host = text.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_ipv6 = bare.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok());
        !host.is_empty()
            && (is_ipv6 || !host.contains(|c: char| c.is_whitespace() || "/@:[]".contains(c)))
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    match is_path || (is_host && !text.starts_with("unix:")) {
        true => Ok(text.to_owned()),
        false => Err(format!("expected HOST:PORT, such as {DEFAULT_SERVER}, or unix:PATH")),
    }
}

/// Parses the id of a task. The server says whether the task exists, also for 0 and -1.
fn task_id(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| "expected a number up to 2147483647: `list` shows the IDs".to_owned())
}

/// Parses a duration such as `5s`, `500ms` or `1m 30s`.
fn timeout(text: &str) -> Result<Duration, String> {
    let not_one = |_| "expected a number and a unit, such as 5s or 500ms".to_owned();
    let parsed: SignedDuration = text.parse().map_err(not_one)?;
    match Duration::try_from(parsed) {
        Ok(timeout) if timeout > CALL_TIMEOUT_MAX => {
            Err(format!("must be at most {}h", CALL_TIMEOUT_MAX.as_secs() / 3600))
        }
        Ok(timeout) if !timeout.is_zero() => Ok(timeout),
        _ => Err("must be greater than zero, such as 5s or 500ms".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_has_no_conflicts() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_timeout_limits_calls_or_the_wait() {
        let of = |line: &str| {
            let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
            let wait = match &cli.command {
                Some(Command::Wait(args)) => args.timeout.map(|timeout| timeout.as_secs()),
                _ => None,
            };
            (cli.call_timeout().as_secs(), wait)
        };
        for (line, call, wait) in [
            ("todo list", 5, None),
            ("todo list --timeout 9s", 9, None),
            ("todo wait 1", 5, None),
            ("todo wait 1 --timeout 9s", 5, Some(9)),
            ("todo --timeout 9s wait 1", 5, Some(9)),
            ("todo --timeout 2s wait --timeout 3s 1", 5, Some(3)),
        ] {
            assert_eq!(of(line), (call, wait), "{line}");
        }
    }

    #[test]
    fn servers() {
        for text in ["127.0.0.1:50051", "[::1]:1", "localhost:65535", "unix:/run/todo.sock"] {
            assert_eq!(server(text), Ok(text.to_owned()));
        }
        for text in [
            "",
            "nonsense",
            ":1",
            "a:",
            "a:0",
            "a:99999",
            " a:1",
            "a:b:1",
            "::1:50051",
            "[a]:1",
            "me@a:1",
            "http://a:1",
            "unix:",
        ] {
            assert!(server(text).is_err(), "{text}");
        }
    }

    #[test]
    fn page_urls() {
        for (text, authority) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]:8080/", "[::1]:8080"),
            ("http://[::1]", "[::1]:80"),
            ("https://list.example.org/tasks#/active", "list.example.org:443"),
            ("http://list.local?x", "list.local:80"),
        ] {
            assert_eq!(page_url(text).unwrap().authority, authority, "{text}");
        }
        for text in [
            "",
            "list",
            "http://",
            "http://:80",
            "ftp://a",
            "http://a:b",
            "http://a:99999",
            "http://a b",
            "http://a/\u{1b}",
            "http://me@a",
            "http://[::1",
        ] {
            assert!(page_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn timeouts() {
        for (text, ms) in [("5s", 5000), ("500ms", 500), ("1m 30s", 90_000), ("24h", 86_400_000)] {
            assert_eq!(timeout(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "soon", "0s", "-5s", "5s ago", "25h", "99999999999999h"] {
            assert!(timeout(text).is_err(), "{text}");
        }
    }
}
