use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, value_parser};
use clap_complete::Shell;
use http::uri::{Authority, Uri};
use jiff::SignedDuration;

use crate::client::{DEFAULT_SERVER, proto::Filter};
use crate::limits::{CALL_TIMEOUT_DEFAULT, CALL_TIMEOUT_MAX};

/// Where todo-web listens unless told otherwise.
const DEFAULT_PAGE: &str = "http://127.0.0.1:8080";

/// A shared task list, live: without a command, an interactive session.
#[derive(Debug, Parser)]
#[command(name = "todo", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// The server: HOST:PORT or unix:PATH
    #[arg(
        long,
        global = true,
        env = "TODO_SERVER",
        default_value = DEFAULT_SERVER,
        value_name = "ADDR",
        value_parser = server
    )]
    pub server: String,

    /// Print JSON, one object a line
    #[arg(long, global = true)]
    pub json: bool,

    /// How long a call may take, such as 5s (the default) or 500ms; with `wait`: how long to wait
    #[arg(long, global = true, value_name = "DURATION", value_parser = timeout)]
    timeout: Option<Duration>,

    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Cli {
    /// How long a call may take. What a person allows for waiting is no measure of a call.
    pub fn call_timeout(&self) -> Duration {
        match &self.command {
            Some(Command::Wait(_)) => CALL_TIMEOUT_DEFAULT,
            _ => self.timeout.unwrap_or(CALL_TIMEOUT_DEFAULT),
        }
    }
}

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 other failure, 2 usage, 3 not found, \
    4 rejected (bad input, conflict, wrong state, a limit), 5 not permitted, \
    6 unavailable or timed out, 130 interrupted. Of several failures the first decides.";

/// What shell and REPL can be asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Add a task, or with `-` one for each line of the standard input
    Add(AddArgs),
    /// List the tasks that are not deleted
    List(ListArgs),
    /// Show all about a task
    Show(OneTask),
    /// Mark tasks completed
    Done(SomeTasks),
    /// Mark completed tasks open again
    Reopen(SomeTasks),
    /// Change a task's title
    Edit(EditArgs),
    /// Delete tasks; `restore` brings them back
    Rm(SomeTasks),
    /// Bring deleted tasks back
    Restore(SomeTasks),
    /// Print changes as they happen
    Watch(WatchArgs),
    /// Wait until a task is completed, or deleted, or changed
    Wait(WaitArgs),
    /// Print the changes that were made, of one task or of all
    History(HistoryArgs),
    /// Open the page in the browser
    Web(WebArgs),
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct AddArgs {
    /// Print the new id alone
    #[arg(short, long)]
    pub quiet: bool,

    /// The title; `-` reads one title a line from the standard input
    #[arg(required = true, value_name = "TITLE")]
    pub title: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub filter: FilterArgs,

    /// The list as it was at this revision
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

    /// All tasks, deleted ones included
    #[arg(long)]
    all: bool,
}

impl FilterArgs {
    pub fn filter(&self) -> Filter {
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
    /// The task
    #[arg(value_name = "ID", value_parser = task_id, allow_negative_numbers = true)]
    pub id: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct SomeTasks {
    /// The tasks; all are tried
    #[arg(required = true, value_name = "ID", value_parser = task_id, allow_negative_numbers = true)]
    pub ids: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct EditArgs {
    #[command(flatten)]
    pub task: OneTask,

    /// The new title
    #[arg(required = true, value_name = "TITLE")]
    pub title: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct WatchArgs {
    #[command(flatten)]
    pub filter: FilterArgs,

    /// Start with every change after this revision; 0: with the first
    #[arg(long, value_name = "REV", value_parser = revision())]
    pub from: Option<i64>,

    /// Start with the list as it is; with --from or --state only if that history is gone
    #[arg(long)]
    pub snapshot: bool,

    /// End once everything up to this revision is printed
    #[arg(long, value_name = "REV", value_parser = revision())]
    pub until_revision: Option<i64>,

    /// Keep in this file up to where changes are printed, and go on there the next time
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,

    /// End after this many changes
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct WaitArgs {
    #[command(flatten)]
    pub task: OneTask,

    #[command(flatten)]
    pub until: Until,

    /// How long to wait, such as 5m: for ever if not given
    // In the shell this is the global option, wherever it stands: clap takes equal ids
    // for one. In the REPL, where there is none, it is `wait`'s own.
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    pub timeout: Option<Duration>,
}

/// What to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[group(multiple = false)]
pub struct Until {
    /// Until it is completed: the default
    #[arg(long)]
    completed: bool,

    /// Until it is deleted
    #[arg(long)]
    deleted: bool,

    /// Until it has this revision or a later one
    #[arg(long, value_name = "REV", value_parser = revision())]
    revision: Option<i64>,
}

/// What `wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Completed,
    Deleted,
    Revision(i64),
}

impl Until {
    pub fn condition(&self) -> Condition {
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
    /// The task; all if not given
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
    /// Where todo-web is
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

/// Revisions count from 0, before the first change.
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

/// Whether there is such a task is for the server to say, for 0 and -1, too.
fn task_id(text: &str) -> Result<i32, String> {
    text.parse()
        .map_err(|_| "a task's ID is a number up to 2147483647: `list` shows them".to_owned())
}

/// A duration of people's kind, such as `5s`, `500ms` or `1m 30s`.
fn timeout(text: &str) -> Result<Duration, String> {
    let not_one = |_| "it is no duration: try 5s or 500ms".to_owned();
    let parsed: SignedDuration = text.parse().map_err(not_one)?;
    match Duration::try_from(parsed) {
        Ok(timeout) if timeout > CALL_TIMEOUT_MAX => {
            Err(format!("it is more than {} hours", CALL_TIMEOUT_MAX.as_secs() / 3600))
        }
        Ok(timeout) if !timeout.is_zero() => Ok(timeout),
        _ => Err("it must be more than nothing: try 5s or 500ms".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_timeout_is_of_calls_or_of_a_wait() {
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
