//! Every limit of the system, in one place.

use std::time::Duration;

/// Characters (Unicode scalar values) in a title, at most.
pub const TITLE_CHARS_MAX: usize = 1024;
/// Characters in a request id, at most.
pub const REQUEST_ID_CHARS_MAX: usize = 64;
/// The last task id: ids are `int32` on the wire.
pub const TASK_ID_MAX: i32 = i32::MAX;
/// Bytes of an encoded task, at most.
pub const TASK_BYTES_MAX: usize = 96 * 1024;
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

/// How long an idempotency record is kept, unless there are `REQUESTS_KEPT_MAX` newer ones.
pub const REQUEST_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Idempotency records that are kept, at most.
pub const REQUESTS_KEPT_MAX: usize = 1_000_000;
/// This many of the newest idempotency records are kept, whatever their age.
pub const REQUESTS_KEPT_MIN: usize = 100_000;
/// Idempotency records that one commit deletes, at most: a batch stays short.
pub const REQUESTS_FORGOTTEN_PER_COMMIT: usize = 2_048;
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
/// Queue length at which the poll thread yields to the state thread.
pub const HANDOVER_COMMANDS: usize = 32;
/// With fewer commands in the queue, the state thread first yields to the poll thread.
pub const GATHER_COMMANDS: usize = 32;
/// Commands of one batch, at most: one transaction, one sync.
pub const BATCH_COMMANDS_MAX: usize = 1_024;
/// Bytes of the changes of one batch; the command that exceeds it is the last.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// The maximum of `--queue-max` and `--watchers-max`: the queue of calls takes its memory
/// when it is made.
pub const QUEUE_LIMIT: usize = 1_000_000;
/// Changes in the change log, the newest that stay in memory.
pub const CHANGE_LOG_CHANGES_MAX: usize = 16_384;
/// Bytes of the changes in the change log.
pub const CHANGE_LOG_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Changes that are kept at least, unless `--history-revisions` says otherwise.
pub const HISTORY_REVISIONS_DEFAULT: i64 = 1_000_000;
/// How long changes are kept at least, unless `--history-age` says otherwise.
pub const HISTORY_AGE_DEFAULT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Changes that are kept at most, unless `--history-revisions-max` says otherwise.
pub const HISTORY_REVISIONS_MAX_DEFAULT: i64 = 10_000_000;
/// Changes that one step of compaction deletes, at most: a batch waits for it.
pub const COMPACTION_STEP: usize = 500;
/// Steps of compaction between two batches, at most.
pub const COMPACTION_STEPS_MAX: usize = 3;
/// Deleted tasks are purged after this long, unless `--trash-age` says otherwise.
pub const TRASH_AGE_DEFAULT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Deleted tasks that one step purges, at most: a batch waits for it.
pub const TRASH_STEP: usize = 100;
/// The trash is checked at least this often: the system's clock may have been set.
pub const TRASH_CHECK_MAX: Duration = Duration::from_secs(60 * 60);
/// A purge that the store refused is repeated after this long.
pub const TRASH_RETRY: Duration = Duration::from_secs(60);
/// A clock that was ahead by more than this is reported.
pub const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// A log that is out of reach for this long: new and waiting calls are refused.
pub const UNREACHABLE_REFUSES: Duration = Duration::from_secs(3);
/// The same: callers of the proposal in doubt are told that the outcome is unknown.
pub const UNREACHABLE_ABANDONS: Duration = Duration::from_secs(5);
/// The same: watches end, so that clients try another server.
pub const UNREACHABLE_ENDS_WATCHES: Duration = Duration::from_secs(10);
/// How long the state thread waits at its end for a store that settles later.
pub const FINISH_WITHIN: Duration = Duration::from_secs(1);
/// The state thread and the reader look around after this long without an event.
pub const IDLE_TICK: Duration = Duration::from_secs(60);
/// When compaction found nothing that it may forget, it looks again this much later.
pub const COMPACTION_RETRY: Duration = Duration::from_secs(60);
/// The newest changes that a start compares with the tasks, at most.
pub const RECOVERY_CHANGES_MAX: usize = 1_000;
/// Rows of one read transaction, at most: a long one makes the write-ahead log grow.
pub const HISTORY_READ_MAX: usize = 1_000;
/// Reads for one page of a list of the past, at most: other reads wait meanwhile.
pub const PAST_READS_PER_PAGE: usize = 10;
/// Bytes of an update batch, a history chunk or a snapshot piece for a stream; the update
/// that exceeds it is the last.
pub const UPDATE_BATCH_BYTES_MAX: usize = 256 * 1024;
/// Changes of the commit batches that a stream sends as one update batch.
pub const UPDATE_BATCH_CHANGES_MAX: usize = 1_024;
/// Bytes read for streams that clients have not taken, of all streams together; above it,
/// streams that need more wait.
pub const STREAM_READS_BYTES_MAX: usize = 512 * 1024 * 1024;
/// How often the readers check whether clients have taken enough.
pub const STREAM_READS_CHECK: Duration = Duration::from_millis(10);
/// Bytes of encoded history chunks that are kept for the next lagging stream.
pub const HISTORY_CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Threads that read listings and history.
pub const READER_THREADS: usize = 2;
/// What `progress_interval_ms` may be.
pub const PROGRESS_INTERVAL_MS_MIN: i32 = 100;
pub const PROGRESS_INTERVAL_MS_MAX: i32 = 60_000;
/// Updates in one message of a watch, at most.
pub const UPDATES_PER_MESSAGE_MAX: usize = 1_000;
/// Bytes of a message of several updates, at most.
pub const PACKED_BYTES_MAX: usize = 256 * 1024;
/// Old versions of the list that snapshots hold, at most; beyond, snapshots share them.
pub const PINNED_SNAPSHOTS_MAX: usize = 16;
/// How long a client may take to read its snapshot.
pub const SNAPSHOT_TAKEN_WITHIN: Duration = Duration::from_secs(60);
/// Watches at a time, unless `--watchers-max` says otherwise.
pub const WATCHERS_MAX_DEFAULT: usize = 20_000;
/// A watch whose client does not read ends after this long, unless
/// `--watch-stall-timeout` says otherwise.
pub const WATCH_STALL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// Open files that watches leave for the database, the addresses and other calls.
pub const OPEN_FILES_RESERVED: usize = 100;
/// How long the server keeps a watch that has ended because its client does not read. Its status
/// waits behind the data that the client does not read.
pub const WATCH_END_GRACE: Duration = Duration::from_secs(5);
/// Watch streams that send in the same round: between rounds other calls are served.
pub const ROUND_STREAMS_MAX: usize = 64;
/// Messages that the streams of a round share. Each may send at least two.
pub const ROUND_MESSAGES: usize = 256;
/// The next round starts after this time even if the previous one has not ended.
pub const ROUND_TIME_MAX: Duration = Duration::from_millis(5);
/// Listings that wait for the reader thread.
pub const READS_MAX: usize = 1_024;
/// Bytes of one listing, at most, where no page size limits it.
pub const LISTING_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Bytes of encoded tasks that are kept for the next listing,
pub const ENCODED_TASKS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// and of an answer that is kept in case it is asked for again.
pub const REPEATED_ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of listings that clients have not received. Above this, listings are refused.
pub const LISTINGS_PENDING_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Tasks of a snapshot that are encoded at a time,
pub const SNAPSHOT_PIECE_TASKS: usize = 1_000;
/// and tasks looked at for it.
pub const SNAPSHOT_PIECE_SCANNED: usize = 16_384;
/// Bytes of one request, at most.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// Calls that the C core hands over to the poll thread at a time. A call leaves its slot when its
/// headers have arrived.
pub const REQUEST_SLOTS: usize = 1_024;
/// Calls at a time on one connection, and calls of one connection whose request has not arrived.
/// The C core enforces the former only once the client has acknowledged it.
pub const CALLS_PER_CONNECTION_MAX: i32 = 1_000;
/// Calls whose request has not arrived. One more ends the oldest of them. Each takes about 17 KB
/// (measured).
pub const REQUESTS_WAITING_MAX: usize = 4_096;
/// Up to this number of waiting requests, those of a connection are not counted.
pub const REQUESTS_UNCOUNTED: usize = 256;
/// A call whose request has not arrived after this time is ended.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);
/// The interval at which waiting requests are checked for [`REQUEST_TIMEOUT`].
pub const REQUEST_CHECK: Duration = Duration::from_secs(2);
/// The server pings a connection that has had no traffic for this time.
pub const KEEPALIVE_TIME: Duration = Duration::from_secs(30);
/// The server closes a connection that does not answer the ping within this time.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// A client may send a ping this often. Documented as 5 s: the network delays some pings more
/// than others.
pub const CLIENT_PING_INTERVAL_MIN: Duration = Duration::from_secs(4);
/// Shutdown: how long open calls may take before they are cancelled.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);
/// Shutdown: how long the transport then has to end. Together with [`SHUTDOWN_GRACE`] it is below
/// the 5 s within which `todod` ends.
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
/// Calls of `todo add -` in flight, at most: enough to hide the time that one takes.
pub const PIPELINED_CALLS_MAX: usize = 64;
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

/// Symbolic links to follow from the name of a state file: as many as Linux follows.
pub const SYMLINKS_MAX: usize = 40;
/// Bytes of a line that `todo` reads from a pipe, at most.
pub const INPUT_LINE_BYTES_MAX: usize = 64 * 1024;
/// Tasks that the REPL offers for completion: the newest.
pub const COMPLETION_TASKS_MAX: usize = 10_000;
/// Candidates that completion shows, at most, if they fit the screen.
pub const COMPLETION_CANDIDATES_MAX: usize = 40;
/// In the REPL, Escape is a key of its own if nothing follows within this time.
pub const ESCAPE_TIMEOUT_MS: u16 = 500;
/// Announcements that wait for the REPL's prompt.
pub const ANNOUNCEMENTS_MAX: usize = 256;
/// Lines that the REPL's history keeps.
pub const HISTORY_LINES_MAX: usize = 1_000;

// One connection cannot end the waiting calls of another one.
const _: () =
    assert!(REQUESTS_UNCOUNTED + (CALLS_PER_CONNECTION_MAX as usize) < REQUESTS_WAITING_MAX);
const _: () = assert!(QUEUE_MAX_DEFAULT <= QUEUE_LIMIT);
const _: () = assert!(PIPELINED_CALLS_MAX < CALLS_PER_CONNECTION_MAX as usize);
const _: () = assert!(LOG_BYTES_MAX < LOG_BYTES_REPORTED && LOG_BYTES_REPORTED < LOG_BYTES_REFUSED);
const _: () = assert!(REQUESTS_KEPT_MIN <= REQUESTS_KEPT_MAX);
// Deleting old idempotency records keeps up with full batches.
const _: () = assert!(REQUESTS_FORGOTTEN_PER_COMMIT > BATCH_COMMANDS_MAX);
// The largest task fits a page, and a page with one task too many the 4 MiB that a client
// takes by default.
const _: () = assert!(TASK_BYTES_MAX < PAGE_BYTES_MAX);
const _: () = assert!(PAGE_BYTES_MAX + TASK_BYTES_MAX < 4 * 1024 * 1024);
const _: () = assert!(TITLE_CHARS_MAX * 4 < TASK_BYTES_MAX);
const _: () = assert!(TASK_BYTES_MAX < REQUEST_BYTES_MAX);
const _: () = assert!(TITLE_CHARS_MAX * 4 < INPUT_LINE_BYTES_MAX);
const _: () = assert!(TASK_BYTES_MAX < PACKED_BYTES_MAX);
const _: () = assert!(COMPACTION_STEP <= HISTORY_READ_MAX);
// Compaction keeps up with full batches.
const _: () = assert!(COMPACTION_STEP * COMPACTION_STEPS_MAX > BATCH_COMMANDS_MAX);
const _: () = assert!(UNREACHABLE_REFUSES.as_secs() < UNREACHABLE_ABANDONS.as_secs());
const _: () = assert!(UNREACHABLE_ABANDONS.as_secs() < UNREACHABLE_ENDS_WATCHES.as_secs());
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
