// Limits and times. Those of several files must agree.

export const CALL_TIMEOUT_MS = 10_000; // after which the same call is repeated
export const CALLS_AT_ONCE_MAX = 4; // of the six connections to a host that browsers allow; the stream has one
export const RETRY_MS_MIN = 250;
export const RETRY_MS_MAX = 5_000;

export const FEED_CHECK_MS = 500; // how often the feed checks that its stream is alive
export const FEED_SILENT_CHECKS_MAX = 80; // 40 s; the server sends `alive` every 15 s
export const FEED_CHECK_LATE_MS_MAX = 5_000; // a check this late means that the computer slept

export const TAB_HEARTBEAT_MS = 60_000; // browsers let a hidden tab run once a minute
export const TAB_HEARTBEATS_MISSED_MAX = 3; // after which the worker forgets the tab

export const RENDER_ALL_ROWS_MAX = 200; // a longer list has only the rows near the window
export const ROW_PX = 52; // assumed height of a row until the first one is measured
export const OVERSCAN_PX = 800; // how far rows are drawn beyond each edge of the window

export const HIGHLIGHT_MS = 2_000;
export const ANNOUNCE_MS = 700; // changes by others within this time are announced together
export const UNDO_MS = 10_000; // how long the toast stays; the shortcut has no time limit
export const UNDOABLE_MAX = 100;
export const TOASTS_MAX = 3;
export const HISTORY_PAGE_CHANGES = 200;
