//! Every limit of the system. Assertions at the end state which limits must agree.

use std::time::Duration;

/// The maximum length of a title, in characters (Unicode scalar values).
pub const TITLE_CHARS_MAX: usize = 1024;
/// The maximum length of a request id, in ASCII characters.
pub const REQUEST_ID_CHARS_MAX: usize = 64;
/// The greatest task id: ids are `int32` on the wire.
pub const TASK_ID_MAX: i32 = i32::MAX;
/// The maximum size of an encoded task, in bytes. Every limit on messages leaves room for
/// one such task.
pub const TASK_BYTES_MAX: usize = 96 * 1024;
/// The default of `--tasks-max`: the maximum number of tasks, deleted ones included.
pub const TASKS_MAX_DEFAULT: u32 = 1_000_000;

/// The maximum number of tasks on a page. A larger `page_size` is reduced to this.
pub const PAGE_TASKS_MAX: usize = 10_000;
/// The maximum size of a page, in encoded bytes, unless a single task is larger. It is far
/// below the 4 MiB that gRPC clients accept by default.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// The number of tasks per page that our own clients request.
pub const CLIENT_PAGE_TASKS: i32 = 1_000;
/// The number of changes per page that our own clients request.
pub const CLIENT_PAGE_CHANGES: i32 = 1_000;

/// The time for which an idempotency record is kept, unless there are [`REQUESTS_KEPT_MAX`]
/// newer ones.
pub const REQUEST_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// The maximum number of idempotency records. It bounds the index in memory, about 20 bytes
/// per record.
pub const REQUESTS_KEPT_MAX: usize = 1_000_000;
/// The number of newest idempotency records that are kept, whatever their age.
pub const REQUESTS_KEPT_MIN: usize = 100_000;
/// The maximum number of idempotency records that one commit deletes, so that a batch stays
/// short.
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

/// The default of `--queue-max`: the maximum number of commands that wait for the state
/// thread.
pub const QUEUE_MAX_DEFAULT: usize = 8_192;
/// The queue length, in commands, at which the poll thread yields to the state thread.
/// Otherwise the memory of the calls leaves the processor's cache before they are answered.
pub const HANDOVER_COMMANDS: usize = 32;
/// With fewer commands in the queue, the state thread yields to the poll thread once, so
/// that a batch holds more than one command.
pub const GATHER_COMMANDS: usize = 32;
/// The maximum number of commands in a batch, which is one transaction with one sync.
pub const BATCH_COMMANDS_MAX: usize = 1_024;
/// The size of a batch, in bytes of its changes, at which it takes no further command.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// The maximum of `--queue-max` and `--watchers-max`. The queue allocates its memory when
/// it is made.
pub const QUEUE_LIMIT: usize = 1_000_000;
/// The maximum number of changes in the change log, which keeps the newest changes in
/// memory.
pub const CHANGE_LOG_CHANGES_MAX: usize = 16_384;
/// The maximum size of the changes in the change log, in bytes.
pub const CHANGE_LOG_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The default of `--history-revisions`: the number of newest changes that are always kept.
pub const HISTORY_REVISIONS_DEFAULT: i64 = 1_000_000;
/// The default of `--history-age`: younger changes are kept, too.
pub const HISTORY_AGE_DEFAULT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The default of `--history-revisions-max`: the maximum number of changes that are kept,
/// whatever their age.
pub const HISTORY_REVISIONS_MAX_DEFAULT: i64 = 10_000_000;
/// The maximum number of changes that one step of compaction passes. The next batch waits
/// for the step.
pub const COMPACTION_STEP: usize = 500;
/// The maximum number of compaction steps between two batches.
pub const COMPACTION_STEPS_MAX: usize = 3;
/// The default of `--trash-age`: deleted tasks are purged after this time.
pub const TRASH_AGE_DEFAULT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The maximum number of deleted tasks that one step purges. The next batch waits for the
/// step.
pub const TRASH_STEP: usize = 100;
/// The longest time between two checks of the trash. The system's clock may be set in
/// between.
pub const TRASH_CHECK_MAX: Duration = Duration::from_secs(60 * 60);
/// The time after which a purge that the store refused is repeated.
pub const TRASH_RETRY: Duration = Duration::from_secs(60);
/// Findings that `todod check` prints.
pub const CHECK_FINDINGS_MAX: usize = 1_000;
/// Rows that `todod check --repair-times` corrects at a time.
pub const REPAIR_STEP: usize = 1_024;
/// If the list's last change is further in the future than this, a start logs a warning.
pub const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// When the log has been unreachable for this time, new and waiting calls are refused.
pub const UNREACHABLE_REFUSES: Duration = Duration::from_secs(3);
/// When the log has been unreachable for this time, the callers of the proposed batch are
/// answered that the outcome is unknown.
pub const UNREACHABLE_ABANDONS: Duration = Duration::from_secs(5);
/// When the log has been unreachable for this time, watches end, so that clients try
/// another server.
pub const UNREACHABLE_ENDS_WATCHES: Duration = Duration::from_secs(10);
/// How long a stopping state thread waits for a store that settles a batch later.
pub const FINISH_WITHIN: Duration = Duration::from_secs(1);
/// The longest time that the state thread and the reader threads wait without an event.
pub const IDLE_TICK: Duration = Duration::from_secs(60);
/// When compaction found nothing old enough, it tries again after this time.
pub const COMPACTION_RETRY: Duration = Duration::from_secs(60);
/// The number of newest changes that a start compares with the tasks. `todod check`
/// compares all.
pub const RECOVERY_CHANGES_MAX: usize = 1_000;
/// The maximum number of rows that one read transaction reads. During a long read the
/// write-ahead log cannot be reused and grows.
pub const HISTORY_READ_MAX: usize = 1_000;
/// The maximum number of reads for one page of a list at a past revision. Other reads wait
/// during that time.
pub const PAST_READS_PER_PAGE: usize = 10;
/// The size of an update batch, a history chunk or a snapshot piece, in bytes, at which it
/// takes no further update.
pub const UPDATE_BATCH_BYTES_MAX: usize = 256 * 1024;
/// The maximum number of changes in the commit batches that a stream sends as one update
/// batch.
pub const UPDATE_BATCH_CHANGES_MAX: usize = 1_024;
/// The maximum size of what was read for streams and not yet sent, in bytes, for all
/// streams together. Above it, reads for streams wait.
pub const STREAM_READS_BYTES_MAX: usize = 512 * 1024 * 1024;
/// The interval at which the readers check whether clients have received enough.
pub const STREAM_READS_CHECK: Duration = Duration::from_millis(10);
/// The maximum size of the encoded history chunks that are kept for the next lagging
/// stream, in bytes.
pub const HISTORY_CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The number of threads that read listings and history. With two, a long listing does not
/// delay the streams.
pub const READER_THREADS: usize = 2;
/// The minimum of `progress_interval_ms`, in milliseconds.
pub const PROGRESS_INTERVAL_MS_MIN: i32 = 100;
/// The maximum of `progress_interval_ms`, in milliseconds.
pub const PROGRESS_INTERVAL_MS_MAX: i32 = 60_000;
/// The maximum number of updates in one message of a watch.
pub const UPDATES_PER_MESSAGE_MAX: usize = 1_000;
/// The maximum size of a message with several updates, in bytes.
pub const PACKED_BYTES_MAX: usize = 256 * 1024;
/// The maximum number of old versions of the list that snapshots hold. Further snapshots
/// share them.
pub const PINNED_SNAPSHOTS_MAX: usize = 16;
/// How long a client may take to receive its snapshot, which holds an old version of the
/// list.
pub const SNAPSHOT_TAKEN_WITHIN: Duration = Duration::from_secs(60);
/// The default of `--watchers-max`: the maximum number of watches.
pub const WATCHERS_MAX_DEFAULT: usize = 20_000;
/// The default of `--watch-stall-timeout`: a watch whose client does not read ends after
/// this time.
pub const WATCH_STALL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// The number of open files that watches leave for the database, the listening sockets and
/// other calls.
pub const OPEN_FILES_RESERVED: usize = 100;
/// How long the server keeps a watch that has ended because its client does not read. Its
/// status waits behind the data that the client does not read.
pub const WATCH_END_GRACE: Duration = Duration::from_secs(5);
/// The maximum number of watch streams that send in the same round. Between rounds, other
/// calls are served.
pub const ROUND_STREAMS_MAX: usize = 64;
/// The number of messages that the streams of a round share. Each may send at least two.
pub const ROUND_MESSAGES: usize = 256;
/// The next round starts after this time even if the previous one has not ended.
pub const ROUND_TIME_MAX: Duration = Duration::from_millis(5);
/// The maximum number of listings that wait for a reader thread.
pub const READS_MAX: usize = 1_024;
/// The maximum weight of the tasks of a listing without pages, in bytes.
pub const LISTING_BYTES_MAX: usize = 512 * 1024 * 1024;
/// The maximum size of the encoded tasks that are kept for the next listing, in bytes.
pub const ENCODED_TASKS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The maximum size of a whole answer that is kept for the case that it is requested again,
/// in bytes.
pub const REPEATED_ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The size of the listings that clients have not received, in bytes, above which listings
/// are refused.
pub const LISTINGS_PENDING_BYTES_MAX: usize = 128 * 1024 * 1024;
/// The maximum number of tasks in one piece of a snapshot. The reader thread serves others
/// between pieces.
pub const SNAPSHOT_PIECE_TASKS: usize = 1_000;
/// The maximum number of tasks that are examined for one piece of a snapshot.
pub const SNAPSHOT_PIECE_SCANNED: usize = 16_384;
/// The maximum size of a request, in bytes.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// The number of calls that the C core hands to the poll thread at a time. A call leaves
/// its slot when its headers have arrived.
pub const REQUEST_SLOTS: usize = 1_024;
/// The maximum number of calls at a time on one connection, and of calls on one connection
/// whose request has not arrived. The C core enforces the former only once the client has
/// acknowledged it.
pub const CALLS_PER_CONNECTION_MAX: i32 = 1_000;
/// The maximum number of calls whose request has not arrived. One more ends the oldest of
/// them. Each takes about 17 KB (measured).
pub const REQUESTS_WAITING_MAX: usize = 4_096;
/// Up to this number of waiting requests, those of a connection are not counted: finding
/// out the connection of a call is expensive.
pub const REQUESTS_UNCOUNTED: usize = 256;
/// A call whose request has not arrived after this time is ended.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);
/// The interval at which waiting requests are checked for [`REQUEST_TIMEOUT`].
pub const REQUEST_CHECK: Duration = Duration::from_secs(2);
/// The server pings a connection that has had no traffic for this time.
pub const KEEPALIVE_TIME: Duration = Duration::from_secs(30);
/// The server closes a connection that does not answer the ping within this time.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// The minimum interval between two pings of a client. Documented as 5 s: the network
/// delays some pings more than others.
pub const CLIENT_PING_INTERVAL_MIN: Duration = Duration::from_secs(4);
/// How long open calls may take at shutdown before they are cancelled.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);
/// How long the transport then has to end. Together with [`SHUTDOWN_GRACE`] it is below the
/// 5 s within which `todod` ends.
pub const SHUTDOWN_END: Duration = Duration::from_millis(500);

/// The maximum number of events that wait for the reader of a client's watch.
pub const WATCH_EVENTS_MAX: usize = 1_024;
/// The time without an update after which a client's watch requests a PROGRESS.
pub const WATCH_PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
/// A client's watch that receives nothing for this time counts as lost.
pub const WATCH_SILENCE_MAX: Duration = Duration::from_secs(30);
/// The same as [`WATCH_PROGRESS_INTERVAL`], for a watch that waits for a certain revision.
pub const WATCH_PROGRESS_INTERVAL_SHORT: Duration = Duration::from_millis(500);
/// The maximum number of lines that `todo watch` prints before it flushes them and saves
/// its position.
pub const WATCH_BURST_MAX: usize = 1_000;
/// The default of `todo --timeout`: how long one call may take.
pub const CALL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// The maximum of `todo --timeout`.
pub const CALL_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The maximum number of calls of `todo add -` in flight. It is enough to hide the duration
/// of a call.
pub const PIPELINED_CALLS_MAX: usize = 64;
/// A client pings a connection that has had no traffic for this time. Other servers than
/// `todod` allow no shorter interval than 5 minutes.
pub const CLIENT_KEEPALIVE_TIME: Duration = Duration::from_secs(6 * 60);
/// The first wait of a client before it connects again.
pub const RECONNECT_BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest wait of a client before it connects again.
pub const RECONNECT_BACKOFF_MAX: Duration = Duration::from_secs(2);

/// The maximum number of connections to `todo-web`.
pub const WEB_CONNECTIONS_MAX: usize = 2_048;
/// The maximum number of event streams. Each is a call to `todod`, and all are on one
/// connection.
pub const WEB_EVENT_STREAMS_MAX: usize = 900;
/// The maximum number of concurrent calls from `todo-web` to `todod`. Further calls wait.
pub const WEB_CALLS_MAX: usize = 32;
/// The longest time that a browser may request for a call.
pub const WEB_CALL_TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// The maximum size of a message that `todo-web` accepts from `todod`, in bytes: the
/// default of gRPC.
pub const WEB_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The maximum size of an HTTP request's line and headers, in bytes.
pub const WEB_HEADER_BYTES_MAX: usize = 32 * 1024;
/// The maximum number of headers of an HTTP request.
pub const WEB_HEADERS_MAX: usize = 100;
/// The maximum size of an HTTP request's body, in bytes.
pub const WEB_BODY_BYTES_MAX: usize = 64 * 1024;
/// How long the headers of the next HTTP request may take, including the time that the
/// connection is idle. So it also closes unused connections.
pub const WEB_HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the body of an HTTP request may take.
pub const WEB_BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// A browser that reads nothing for this time while there is data for it is disconnected.
pub const WEB_STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A silent TCP connection is probed after this time, and then at this interval.
pub const WEB_KEEPALIVE: Duration = Duration::from_secs(20);
/// The longest time between two messages of an event stream. Proxies close silent streams.
pub const WEB_COMMENT_INTERVAL: Duration = Duration::from_secs(15);
/// How long a browser waits before it reconnects its event stream.
pub const WEB_RETRY: Duration = Duration::from_secs(1);
/// The same as [`WEB_RETRY`], when there are too many event streams.
pub const WEB_RETRY_FULL: Duration = Duration::from_secs(10);
/// When `todo-web` has no open files left, it tries to accept connections again after this
/// time.
pub const WEB_ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How long `todo web` waits for an answer of `todo-web`.
pub const WEB_PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum number of symbolic links that lead to a state file: the limit of Linux.
pub const SYMLINKS_MAX: usize = 40;
/// The maximum size of a line that `todo` reads from a pipe, in bytes.
pub const INPUT_LINE_BYTES_MAX: usize = 64 * 1024;
/// The maximum number of tasks that the REPL offers for completion: the newest.
pub const COMPLETION_TASKS_MAX: usize = 10_000;
/// The maximum number of candidates that a completion shows, if they fit the screen.
pub const COMPLETION_CANDIDATES_MAX: usize = 40;
/// In the REPL, an escape character without a following one within this time, in
/// milliseconds, is the Escape key.
pub const ESCAPE_TIMEOUT_MS: u16 = 500;
/// The maximum number of announcements that wait for the REPL's prompt.
pub const ANNOUNCEMENTS_MAX: usize = 256;
/// The maximum number of lines in the REPL's history.
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
// The largest task fits a page. A page with one task too many fits the 4 MiB that gRPC
// clients accept by default.
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
// Event streams leave connections for calls and pages. Each stream is a call to `todod`.
const _: () = assert!(WEB_EVENT_STREAMS_MAX < WEB_CONNECTIONS_MAX);
const _: () = assert!(WEB_EVENT_STREAMS_MAX < CALLS_PER_CONNECTION_MAX as usize);
// JSON writes a character as two escapes of 6 bytes each, at most.
const _: () = assert!(TITLE_CHARS_MAX * 12 + 1024 < WEB_BODY_BYTES_MAX);
const _: () = assert!(PAGE_BYTES_MAX + PACKED_BYTES_MAX < WEB_MESSAGE_BYTES_MAX);
// A watch that is only slow does not count as lost.
const _: () = assert!(WATCH_SILENCE_MAX.as_millis() >= 3 * WATCH_PROGRESS_INTERVAL.as_millis());
const _: () =
    assert!(WATCH_PROGRESS_INTERVAL_SHORT.as_millis() >= PROGRESS_INTERVAL_MS_MIN as u128);
const _: () = assert!(WATCH_PROGRESS_INTERVAL.as_millis() <= PROGRESS_INTERVAL_MS_MAX as u128);
