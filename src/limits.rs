//! Every limit of the system, in one place.

use std::time::Duration;

/// Characters (Unicode scalar values) in a title, at most.
pub const TITLE_CHARS_MAX: usize = 1024;
/// Characters in a request id, at most.
pub const REQUEST_ID_CHARS_MAX: usize = 64;
/// The last task id: ids are `int32` on the wire.
pub const TASK_ID_MAX: i32 = i32::MAX;
/// Tasks in the list, deleted ones counted, unless `--tasks-max` says otherwise.
pub const TASKS_MAX_DEFAULT: u32 = 1_000_000;

/// Tasks on one page, at most; a larger `page_size` is clamped to this.
pub const PAGE_TASKS_MAX: usize = 10_000;
/// Encoded size at which a page ends, in bytes.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Tasks on the pages that our own clients ask for.
pub const CLIENT_PAGE_TASKS: i32 = 1_000;

/// How long a request id is remembered, unless `REQUESTS_KEPT_MAX` newer ones came.
pub const REQUEST_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Request ids remembered, at most.
pub const REQUESTS_KEPT_MAX: i64 = 1_000_000;
/// The newest request ids, remembered whatever their age.
pub const REQUESTS_KEPT_MIN: i64 = 100_000;
/// Forgotten request ids deleted in one commit, at most: a turn stays short.
pub const REQUESTS_FORGOTTEN_PER_COMMIT: i64 = 2_048;
/// How long the store waits for a lock of another program, such as the sqlite3 shell.
/// The state thread stands still meanwhile.
pub const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// Commands that wait for the state thread, unless `--queue-max` says otherwise.
pub const QUEUE_MAX_DEFAULT: usize = 8_192;
/// Commands taken into one turn, at most: one transaction, one sync.
pub const TURN_COMMANDS_MAX: usize = 1_024;
/// Updates that wait for one watcher, unless `--watch-queue-max` says otherwise.
/// Room for the changes of several full turns.
pub const WATCH_QUEUE_MAX_DEFAULT: usize = 4_096;
/// What `--queue-max`, `--watchers-max` and `--watch-queue-max` may be at most: a queue
/// takes its memory when it is made.
pub const QUEUE_LIMIT: usize = 1_000_000;
/// Watches at once, unless `--watchers-max` says otherwise.
pub const WATCHERS_MAX_DEFAULT: usize = 20_000;
/// A watch that ended because its client did not read is cancelled after this long:
/// its status waits behind what the client does not read.
pub const WATCH_END_GRACE: Duration = Duration::from_secs(5);
/// Listings and pieces of snapshots that wait for the reader thread.
pub const READS_MAX: usize = 1_024;
/// Bytes of one listing, at most, where no page size limits it.
pub const LISTING_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Bytes of listings that clients have not taken; beyond, no more are made.
pub const LISTINGS_PENDING_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Tasks of a snapshot that are encoded at a time,
pub const SNAPSHOT_PIECE_TASKS: usize = 256;
/// and tasks looked at for it.
pub const SNAPSHOT_PIECE_SCANNED: usize = 16_384;
/// Bytes of one request, at most.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// Calls whose request has not arrived in full, at most: one more waits for its turn.
pub const REQUEST_SLOTS: usize = 1_024;
/// Calls at once on one connection: no connection can take all the slots.
pub const CALLS_PER_CONNECTION_MAX: i32 = 1_000;
/// A connection without traffic is probed after this long,
pub const KEEPALIVE_TIME: Duration = Duration::from_secs(30);
/// and closed if the probe is not answered within this.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Shutdown: how long open calls may take before they are cancelled,
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);
/// and how long the transport then has to end. Together below the 5 s in which
/// `todod` promises to end.
pub const SHUTDOWN_END: Duration = Duration::from_millis(500);

/// A client's watch: events that its reader has not taken yet.
pub const WATCH_EVENTS_MAX: usize = 1_024;
/// How long one call of a client may take, at most.
pub const CALL_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// A client waits this long before it connects again, at first,
pub const RECONNECT_BACKOFF_MIN: Duration = Duration::from_millis(100);
/// and at most this long.
pub const RECONNECT_BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Bytes of a line that `todo` reads from a pipe, at most.
pub const INPUT_LINE_BYTES_MAX: usize = 64 * 1024;
/// Tasks that the REPL offers for completion: the newest.
pub const COMPLETION_TASKS_MAX: usize = 10_000;
/// Ids that completion offers at a time: they fit a screen.
pub const COMPLETION_IDS_MAX: usize = 40;
/// Announcements that wait for the REPL's prompt.
pub const ANNOUNCEMENTS_MAX: usize = 256;
/// Lines that the REPL's history keeps.
pub const HISTORY_LINES_MAX: usize = 1_000;

const _: () = assert!((CALLS_PER_CONNECTION_MAX as usize) < REQUEST_SLOTS);
const _: () = assert!(QUEUE_MAX_DEFAULT <= QUEUE_LIMIT && WATCH_QUEUE_MAX_DEFAULT <= QUEUE_LIMIT);
const _: () = assert!(WATCH_QUEUE_MAX_DEFAULT >= 2 * TURN_COMMANDS_MAX);
const _: () = assert!(REQUESTS_KEPT_MIN <= REQUESTS_KEPT_MAX);
// Forgetting keeps up with full turns.
const _: () = assert!(REQUESTS_FORGOTTEN_PER_COMMIT > TURN_COMMANDS_MAX as i64);
// A title of four-byte characters still fits a page, and a page the 4 MiB that a
// client takes by default.
const _: () = assert!(TITLE_CHARS_MAX * 4 < PAGE_BYTES_MAX);
const _: () = assert!(PAGE_BYTES_MAX + TITLE_CHARS_MAX * 4 < 4 * 1024 * 1024);
const _: () = assert!(TITLE_CHARS_MAX * 4 < REQUEST_BYTES_MAX);
const _: () = assert!(TITLE_CHARS_MAX * 4 < INPUT_LINE_BYTES_MAX);
const _: () = assert!(CLIENT_PAGE_TASKS as usize <= PAGE_TASKS_MAX);
