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
/// Changes on the pages that our own clients ask for.
pub const CLIENT_PAGE_CHANGES: i32 = 1_000;

/// How long a request id is remembered, unless `REQUESTS_KEPT_MAX` newer ones came.
pub const REQUEST_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Request ids remembered, at most.
pub const REQUESTS_KEPT_MAX: i64 = 1_000_000;
/// The newest request ids, remembered whatever their age.
pub const REQUESTS_KEPT_MIN: i64 = 100_000;
/// Forgotten request ids deleted in one commit, at most: a turn stays short.
pub const REQUESTS_FORGOTTEN_PER_COMMIT: i64 = 2_048;
/// How long the store waits for a lock that another program holds, such as the sqlite3
/// shell. The state thread waits with it.
pub const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// Above this size of the write-ahead log, a commit waits for the history reader and then
/// checkpoints. SQLite itself tries without waiting, from 1,000 pages on, about 4 MiB.
pub const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// A write-ahead log that cannot be checkpointed, because another program reads an old
/// state of the database, is logged from this size on, again each time it has doubled.
pub const LOG_BYTES_REPORTED: u64 = 64 * 1024 * 1024;
/// Above this size of such a write-ahead log, changes are refused: it would fill the disk.
pub const LOG_BYTES_REFUSED: u64 = 1024 * 1024 * 1024;
/// The longest wait for the history reader. The next commit waits again.
pub const LOG_WAIT_MAX: Duration = Duration::from_millis(10);

/// Commands that wait for the state thread, unless `--queue-max` says otherwise.
pub const QUEUE_MAX_DEFAULT: usize = 8_192;
/// Whoever shares a core with the state thread lets it go first when so many wait.
pub const HANDOVER_COMMANDS: usize = 32;
/// Commands taken into one turn, at most: one transaction, one sync.
pub const TURN_COMMANDS_MAX: usize = 1_024;
/// Updates that wait for one watcher, unless `--watch-queue-max` says otherwise.
/// Room for the changes of several full turns.
pub const WATCH_QUEUE_MAX_DEFAULT: usize = 4_096;
/// What `--queue-max`, `--watchers-max` and `--watch-queue-max` may be at most: the queue
/// of calls takes its memory when it is made.
pub const QUEUE_LIMIT: usize = 1_000_000;
/// History: the newest changes that stay in memory,
pub const RECENT_CHANGES_MAX: usize = 16_384;
/// changes that are kept at least, unless `--history-revisions` says otherwise,
pub const HISTORY_REVISIONS_DEFAULT: i64 = 1_000_000;
/// for how long they are kept at least, unless `--history-age` says otherwise,
pub const HISTORY_AGE_DEFAULT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// and changes that are kept at most, unless `--history-revisions-max` says otherwise.
pub const HISTORY_REVISIONS_MAX_DEFAULT: i64 = 10_000_000;
/// Changes that one step of compaction deletes, at most: a turn stays short.
pub const COMPACTION_STEP: usize = 500;
/// Steps between two turns, at most.
pub const COMPACTION_STEPS_MAX: usize = 3;
/// The state thread and the reader look around after this long without an event.
pub const IDLE_TICK: Duration = Duration::from_secs(60);
/// When compaction found nothing that it may forget, it looks again this much later.
pub const COMPACTION_RETRY: Duration = Duration::from_secs(60);
/// Rows of one read transaction, at most: a long one makes the write-ahead log grow.
pub const HISTORY_READ_MAX: usize = 1_000;
/// Reads for one page of a list of the past, at most: other reads wait meanwhile.
pub const PAST_READS_PER_PAGE: usize = 10;
/// Bytes of one burst, one stretch of history, or one piece of a snapshot, for a stream:
/// it ends with the update that is beyond.
pub const STRETCH_BYTES_MAX: usize = 256 * 1024;
/// What an update takes beside its title, about.
pub const UPDATE_BYTES: usize = 100;
/// Bytes of these that clients have not taken, of all streams together; beyond, streams
/// that need more wait.
pub const STRETCHES_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Whether there is room again is looked at this often.
pub const STRETCHES_CHECK: Duration = Duration::from_millis(10);
/// Bytes of encoded history that are kept for the next watcher that is behind.
pub const BLOCKS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What `progress_interval_ms` may be.
pub const PROGRESS_INTERVAL_MS_MIN: i32 = 100;
pub const PROGRESS_INTERVAL_MS_MAX: i32 = 60_000;
/// Changes that are published at once, at most.
pub const BURST_CHANGES_MAX: usize = 1_024;
/// While watchers are being served, what is committed waits to be published: they share
/// larger bursts, which cost less. Whether they still are is looked at this often,
pub const PUBLISH_CHECK: Duration = Duration::from_millis(5);
/// and beyond this it is published anyhow.
pub const PUBLISH_DELAY_MAX: Duration = Duration::from_millis(50);
/// Updates in one message of a watch, at most,
pub const UPDATES_PER_MESSAGE_MAX: usize = 1_000;
/// and its encoded size, unless a single update is larger.
pub const PACKED_BYTES_MAX: usize = 256 * 1024;
/// Old versions of the list that snapshots hold on to, at most; beyond, they share.
pub const SNAPSHOT_VERSIONS_MAX: usize = 16;
/// How long a client may take for its snapshot.
pub const SNAPSHOT_TAKEN_WITHIN: Duration = Duration::from_secs(60);
/// Watches at once, unless `--watchers-max` says otherwise.
pub const WATCHERS_MAX_DEFAULT: usize = 20_000;
/// A watch whose client does not read ends after this long, unless
/// `--watch-stall-timeout` says otherwise.
pub const WATCH_STALL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// Open files that are not a watch's: the database, addresses, other calls.
pub const OPEN_FILES_RESERVED: usize = 100;
/// A watch that ended because its client did not read is cancelled after this long:
/// its status waits behind what the client does not read.
pub const WATCH_END_GRACE: Duration = Duration::from_secs(5);
/// Watch streams that have their turn together: between slices other calls have theirs.
pub const SLICE_STREAMS: usize = 64;
/// Messages of a slice; each of its streams may send two in any case.
pub const SLICE_MESSAGES: usize = 256;
/// The next slice does not wait longer for the one before.
pub const SLICE_TIME_MAX: Duration = Duration::from_millis(5);
/// Listings that wait for the reader thread.
pub const READS_MAX: usize = 1_024;
/// Bytes of one listing, at most, where no page size limits it.
pub const LISTING_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Bytes of encoded tasks that are kept for the next listing,
pub const ENCODED_TASKS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// and of an answer that is kept in case it is asked for again.
pub const REPEATED_ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of listings that clients have not taken; beyond, no more are made.
pub const LISTINGS_PENDING_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Tasks of a snapshot that are encoded at a time,
pub const SNAPSHOT_PIECE_TASKS: usize = 1_000;
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
/// A client's watch asks for a PROGRESS after this long without an update,
pub const WATCH_PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
/// and takes a stream that says nothing for this long as lost.
pub const WATCH_SILENCE_MAX: Duration = Duration::from_secs(30);
/// The same interval where a person or a script waits for a revision.
pub const WATCH_PROGRESS_INTERVAL_SHORT: Duration = Duration::from_millis(500);
/// Lines of `todo watch` that wait for the next ones before they are out, and in the
/// state file, at most.
pub const WATCH_BURST_MAX: usize = 1_000;
/// How long one call of a client may take, unless `--timeout` says otherwise,
pub const CALL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// and at most.
pub const CALL_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// A client probes a connection without traffic after this long.
pub const CLIENT_KEEPALIVE_TIME: Duration = Duration::from_secs(6 * 60);
/// A client waits this long before it connects again, at first,
pub const RECONNECT_BACKOFF_MIN: Duration = Duration::from_millis(100);
/// and at most this long.
pub const RECONNECT_BACKOFF_MAX: Duration = Duration::from_secs(2);

/// todo-web: connections at once,
pub const WEB_CONNECTIONS_MAX: usize = 2_048;
/// and of these such as follow the list. Each is a call to `todod`, on one connection.
pub const WEB_EVENT_STREAMS_MAX: usize = 900;
/// Calls to `todod` at once; one more waits for its turn.
pub const WEB_CALLS_MAX: usize = 32;
/// How long a call may take if the browser asks for another time: 30 s at most.
pub const WEB_CALL_TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// Bytes of a message that todo-web takes from `todod`, at most: as gRPC's default.
pub const WEB_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a request's line and headers, at most,
pub const WEB_HEADER_BYTES_MAX: usize = 32 * 1024;
/// its headers,
pub const WEB_HEADERS_MAX: usize = 100;
/// and bytes of its body.
pub const WEB_BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a request's headers may take from when the connection is free for it: so a
/// connection that is not used closes, too.
pub const WEB_HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request's body may take.
pub const WEB_BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// A browser that takes nothing for this long, while there is something for it, is cut off.
pub const WEB_STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection that is open and silent is probed after this long, and this often.
pub const WEB_KEEPALIVE: Duration = Duration::from_secs(20);
/// A stream of events says something at least this often, so that whoever stands between
/// does not take it for dead.
pub const WEB_COMMENT_INTERVAL: Duration = Duration::from_secs(15);
/// How long a browser waits before it asks for the stream of events again,
pub const WEB_RETRY: Duration = Duration::from_secs(1);
/// and where there are too many.
pub const WEB_RETRY_FULL: Duration = Duration::from_secs(10);
/// When no connection can be accepted, for lack of open files, the next try is this much
/// later.
pub const WEB_ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How long `todo web` waits for an answer.
pub const WEB_PROBE_TIMEOUT: Duration = Duration::from_secs(5);

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
const _: () = assert!(LOG_BYTES_MAX < LOG_BYTES_REPORTED && LOG_BYTES_REPORTED < LOG_BYTES_REFUSED);
const _: () = assert!(REQUESTS_KEPT_MIN <= REQUESTS_KEPT_MAX);
// Forgetting keeps up with full turns.
const _: () = assert!(REQUESTS_FORGOTTEN_PER_COMMIT > TURN_COMMANDS_MAX as i64);
// A title of four-byte characters still fits a page, and a page the 4 MiB that a
// client takes by default.
const _: () = assert!(TITLE_CHARS_MAX * 4 < PAGE_BYTES_MAX);
const _: () = assert!(PAGE_BYTES_MAX + TITLE_CHARS_MAX * 4 < 4 * 1024 * 1024);
const _: () = assert!(TITLE_CHARS_MAX * 4 < REQUEST_BYTES_MAX);
const _: () = assert!(TITLE_CHARS_MAX * 4 < INPUT_LINE_BYTES_MAX);
const _: () = assert!(2 * BURST_CHANGES_MAX <= WATCH_QUEUE_MAX_DEFAULT);
const _: () = assert!(TITLE_CHARS_MAX * 4 < PACKED_BYTES_MAX);
const _: () = assert!(COMPACTION_STEP <= HISTORY_READ_MAX);
// Forgetting keeps up with full turns.
const _: () = assert!(COMPACTION_STEP * COMPACTION_STEPS_MAX > TURN_COMMANDS_MAX);
const _: () = assert!(HISTORY_REVISIONS_DEFAULT <= HISTORY_REVISIONS_MAX_DEFAULT);
const _: () = assert!(CLIENT_PAGE_TASKS as usize <= PAGE_TASKS_MAX);
// There is room for calls and pages beside the streams, and each stream is a call.
const _: () = assert!(WEB_EVENT_STREAMS_MAX < WEB_CONNECTIONS_MAX);
const _: () = assert!(WEB_EVENT_STREAMS_MAX < CALLS_PER_CONNECTION_MAX as usize);
// A title of characters that JSON writes as two escapes of 6 bytes each.
const _: () = assert!(TITLE_CHARS_MAX * 12 + 1024 < WEB_BODY_BYTES_MAX);
const _: () = assert!(PAGE_BYTES_MAX + PACKED_BYTES_MAX < WEB_MESSAGE_BYTES_MAX);
// Slow is not lost.
const _: () = assert!(WATCH_SILENCE_MAX.as_millis() >= 3 * WATCH_PROGRESS_INTERVAL.as_millis());
const _: () =
    assert!(WATCH_PROGRESS_INTERVAL_SHORT.as_millis() >= PROGRESS_INTERVAL_MS_MIN as u128);
const _: () = assert!(WATCH_PROGRESS_INTERVAL.as_millis() <= PROGRESS_INTERVAL_MS_MAX as u128);
