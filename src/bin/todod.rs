//! The daemon: parses the arguments, connects the parts, exits.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::builder::RangedU64ValueParser;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum, value_parser};
use crossbeam_channel::{bounded, select};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{Span, SpanRelativeTo};
use mimalloc::MiMalloc;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use todo::cli::program;
use todo::limits::{
    CHANGE_LOG_CHANGES_MAX, HISTORY_REVISIONS_DEFAULT, HISTORY_REVISIONS_MAX_DEFAULT, QUEUE_LIMIT,
    QUEUE_MAX_DEFAULT, TASKS_MAX_DEFAULT, WATCHERS_MAX_DEFAULT,
};
use todo::os::raise_open_files;
use todo::plural::counted;
use todo::server::{ListenAddress, Server, clock};
use todo::state::{Limits, Retention};
use todo::store::{CheckProgress, MemoryStore, SqliteStore, Store};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// A shared, durable, live task list, served over gRPC.
#[derive(Parser)]
#[command(name = "todod", version)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Check the list of a stopped server, or a backup, for damage
    Check {
        /// The data directory of a stopped server, or a database file such as a backup
        path: PathBuf,
        /// Before the check, replace times in the future, which come from a clock that was ahead,
        /// with the current time; PATH must be a data directory
        #[arg(long)]
        repair_times: bool,
    },
}

/// What the server is started with.
#[derive(clap::Args)]
struct ServeArgs {
    /// Listen on IP:PORT (port 0 picks a free one; 0.0.0.0 takes IPv6, too) or unix:PATH; may
    /// be repeated
    /// [default: 127.0.0.1:50051, and [::1]:50051 if there is an IPv6 loopback]
    #[arg(long, value_name = "ADDR", env = "TODO_LISTEN", value_delimiter = ',')]
    listen: Vec<ListenAddress>,
    /// Keep the list in this directory [default: $STATE_DIRECTORY, else todo in the XDG data directory]
    #[arg(long, value_name = "DIR", env = "TODO_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Keep the list on disk (sqlite), or in memory until the server stops
    #[arg(long, value_name = "KIND", env = "TODO_STORE", default_value = "sqlite")]
    store: StoreKind,
    /// Start a new list even if one was kept in the data directory and its database is missing
    #[arg(long)]
    init: bool,
    /// Maximum number of tasks in the list, including deleted ones
    #[arg(long, value_name = "N", env = "TODO_TASKS_MAX", default_value_t = TASKS_MAX_DEFAULT)]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    tasks_max: u32,
    /// Maximum number of waiting calls; further calls are refused
    #[arg(long, value_name = "N", env = "TODO_QUEUE_MAX", default_value_t = QUEUE_MAX_DEFAULT)]
    #[arg(value_parser = queue_size())]
    queue_max: usize,
    /// Maximum number of concurrent watches; further watches are refused
    /// [default: 20000, or fewer if the limit of open files is lower]
    #[arg(long, value_name = "N", env = "TODO_WATCHERS_MAX", value_parser = queue_size())]
    watchers_max: Option<usize>,
    /// End a watch whose client has not read for this long
    #[arg(long, value_name = "DURATION", env = "TODO_WATCH_STALL_TIMEOUT", default_value = "60s")]
    #[arg(value_parser = duration)]
    watch_stall_timeout: Duration,
    /// Minimum number of changes to keep, for history and for watches that resume
    #[arg(long, value_name = "N", env = "TODO_HISTORY_REVISIONS", default_value_t = HISTORY_REVISIONS_DEFAULT)]
    #[arg(value_parser = value_parser!(i64).range(1..))]
    history_revisions: i64,
    /// Minimum time to keep changes, such as 30d or 12h
    #[arg(long, value_name = "DURATION", env = "TODO_HISTORY_AGE", default_value = "30d")]
    #[arg(value_parser = duration)]
    history_age: Duration,
    /// Maximum number of changes to keep, whatever their age; at least --history-revisions
    #[arg(long, value_name = "N", env = "TODO_HISTORY_REVISIONS_MAX", default_value_t = HISTORY_REVISIONS_MAX_DEFAULT)]
    #[arg(value_parser = value_parser!(i64).range(1..))]
    history_revisions_max: i64,
    /// Tasks that were deleted longer ago are purged, such as 30d; 0: never
    #[arg(long, value_name = "DURATION", env = "TODO_TRASH_AGE", default_value = "30d")]
    #[arg(value_parser = trash_age)]
    trash_age: TrashAge,
}

/// `None`: deleted tasks are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TrashAge(Option<Duration>);

#[derive(Clone, Copy, ValueEnum)]
enum StoreKind {
    Sqlite,
    Memory,
}

fn queue_size() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=QUEUE_LIMIT as u64)
}

/// Parses a duration such as `60s`, `12h` or `30d`. A day has 24 hours.
fn duration(text: &str) -> Result<Duration, String> {
    let span: Span = text
        .parse()
        .map_err(|_| "expected a number and a unit, such as 60s, 12h or 30d".to_owned())?;
    let positive = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok();
    match positive.and_then(|duration| Duration::try_from(duration).ok()) {
        Some(duration) if !duration.is_zero() => Ok(duration),
        _ => {
            Err("expected more than zero, in days or smaller units, such as 60s or 30d".to_owned())
        }
    }
}

/// 0, or a duration.
fn trash_age(text: &str) -> Result<TrashAge, String> {
    match text {
        "0" => Ok(TrashAge(None)),
        _ => duration(text).map(|age| TrashAge(Some(age))),
    }
}

fn main() -> ExitCode {
    let Args { command, serve: args } = match program::parse() {
        Ok(args) => args,
        Err(exit_code) => return exit_code,
    };
    if args.history_revisions > args.history_revisions_max {
        let why = format!(
            "--history-revisions-max {} is less than --history-revisions, which is {}: \
             raise the maximum, or lower --history-revisions, too",
            args.history_revisions_max, args.history_revisions
        );
        let error = Args::command().error(ErrorKind::ValueValidation, why);
        return program::explain("todod", &error);
    }
    // The gRPC core logs warnings and errors only.
    program::start_log("warn,todo=info,todod=info");
    grpcio::redirect_log();
    let done = match command {
        Some(Command::Check { path, repair_times }) => check(&path, repair_times),
        None => run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => program::fail("todod", format_args!("{error:#}")),
    }
}

/// Prints one line for each finding. Damage is an error.
fn check(path: &Path, repair_times: bool) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    if repair_times {
        let rows = SqliteStore::repair_times(path, clock())?;
        writeln!(stdout, "corrected the times of {}", counted(rows, "row", "rows"))?;
    }
    let bar = ProgressBar::no_length(); // on stderr, and only if that is a terminal
    let report = SqliteStore::check(path, &mut |progress| show(&bar, progress));
    bar.finish_and_clear();
    let report = report?;
    for finding in &report.findings {
        writeln!(stdout, "{finding}")?;
    }
    let path = report.path.display();
    let listed = report.findings.len();
    let findings = counted(report.found, "finding", "findings");
    match report.found {
        0 => writeln!(
            stdout,
            "no damage found in {path}: {}, {}, {}; revision {}, compacted up to revision {}",
            counted(report.tasks, "task", "tasks"),
            counted(report.changes, "change", "changes"),
            counted(report.requests, "idempotency record", "idempotency records"),
            report.revision,
            report.compacted
        )?,
        found if found == listed as u64 => bail!("{path} is damaged: {findings}"),
        _ => bail!("{path} is damaged: {findings}, of which the first {listed} are listed"),
    }
    Ok(stdout.flush()?)
}

fn show(bar: &ProgressBar, CheckProgress { step, done, total }: CheckProgress) {
    if bar.message() != step {
        let template = match total {
            Some(_) => "checking the {msg} {wide_bar} {percent}%",
            None => "checking the {msg} ...",
        };
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_message(step);
        bar.set_length(total.unwrap_or(0));
    }
    bar.set_position(done);
    bar.tick();
}

/// Serves until SIGTERM, SIGINT, or a failure of the store.
fn run(args: ServeArgs) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("cannot handle signals")?;
    let signals_end = signals.handle();
    let limits = Limits {
        tasks_max: args.tasks_max,
        queue_max: args.queue_max,
        watchers_max: watchers_max(args.watchers_max, raise_open_files()),
        watch_stall_timeout: args.watch_stall_timeout,
        change_log_changes: CHANGE_LOG_CHANGES_MAX,
        retention: Retention {
            revisions: args.history_revisions,
            age: args.history_age,
            revisions_max: args.history_revisions_max,
            trash_age: args.trash_age.0,
        },
    };
    let listen = if args.listen.is_empty() { ListenAddress::defaults() } else { args.listen };
    let server = Server::start(open_store(args.store, args.data_dir, args.init)?, limits, &listen)?;
    announce(server.addresses());

    let (send_signal, signal) = bounded(1);
    let signal_thread = thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let _ = send_signal.send(signals.forever().next());
    })?;
    select! {
        recv(signal) -> _ => log::info!("stopping"),
        recv(server.failed()) -> _ => {}
    }
    let stopped = server.shutdown();
    signals_end.close();
    let _ = signal_thread.join();
    Ok(stopped?)
}

fn open_store(
    kind: StoreKind,
    data_dir: Option<PathBuf>,
    init: bool,
) -> anyhow::Result<Box<dyn Store>> {
    match kind {
        StoreKind::Memory => {
            log::warn!("the list is kept in memory and is lost when the server stops");
            Ok(Box::new(MemoryStore::new(&todo::store::new_list_id()?)))
        }
        StoreKind::Sqlite => {
            let dir = data_dir
                .or_else(default_data_dir)
                .context("there is no home directory for the list: give --data-dir")?;
            let open = if init { SqliteStore::open_or_init } else { SqliteStore::open };
            Ok(Box::new(open(&dir)?))
        }
    }
}

/// systemd's `StateDirectory=`, else the XDG data directory.
fn default_data_dir() -> Option<PathBuf> {
    let of_service = std::env::var("STATE_DIRECTORY").ok();
    let first = of_service.as_deref().and_then(|dirs| dirs.split(':').next());
    match first.filter(|dir| !dir.is_empty()) {
        Some(dir) => Some(dir.into()),
        None => Some(directories::BaseDirs::new()?.data_dir().join("todo")),
    }
}

/// Lowers the number of watches to what the open files allow, because each watch can be a
/// connection of its own. A number that nobody asked for is no reason for a warning.
fn watchers_max(asked: Option<usize>, most: usize) -> usize {
    let wanted = asked.unwrap_or(WATCHERS_MAX_DEFAULT);
    if wanted > most {
        let level = if asked.is_some() { log::Level::Warn } else { log::Level::Info };
        log::log!(
            level,
            "watches: at most {most} instead of {wanted}, because the limit of open files allows {}: to allow more watches, raise that limit (ulimit -n)",
            counted(most, "connection", "connections")
        );
    }
    wanted.min(most)
}

fn announce(addresses: &[ListenAddress]) {
    let mut stdout = std::io::stdout().lock();
    for address in addresses {
        // A closed stdout has no reader that waits for this.
        let _ = writeln!(stdout, "listening on {address}");
    }
    let _ = stdout.flush();
}

#[cfg(test)]
mod tests {
    use super::*;
    use todo::limits::{HISTORY_AGE_DEFAULT, WATCH_STALL_TIMEOUT_DEFAULT};

    #[test]
    fn durations_have_a_unit_and_are_positive() {
        for (text, seconds) in [("60s", 60), ("12h", 43_200), ("30d", 2_592_000), ("1m 30s", 90)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "soon", "0s", "-5s", "1 year", "99999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn defaults_equal_those_of_the_library() {
        let args = Args::parse_from(["todod"]).serve;
        assert_eq!(args.watch_stall_timeout, WATCH_STALL_TIMEOUT_DEFAULT);
        assert_eq!(args.history_age, HISTORY_AGE_DEFAULT);
        let help = Args::command().render_help().to_string();
        assert!(help.contains(&format!("[default: {WATCHERS_MAX_DEFAULT}, or fewer")), "{help}");
    }
}
