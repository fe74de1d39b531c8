// The event stream, as a list that is complete. It runs in the worker that the tabs share,
// or in the page itself. It emits messages that can be posted to another thread:
//   { type: 'list', listId, revision, tasks }   the whole list, replacing what was known
//   { type: 'changes', changes }                 in revision order, without a gap
//   { type: 'connection', state, since }         'connecting', 'live', 'reconnecting', 'offline'
import { FEED_CHECK_LATE_MS_MAX, FEED_CHECK_MS, FEED_SILENT_CHECKS_MAX } from './limits.js';
import { taskFromWire } from './task.js';

const REOPEN_MS = 2_000; // after the browser has given up on the stream
const OFFLINE_AFTER_MS = 4_000; // a shorter interruption is not shown as offline

export class Feed {
  #emit;
  #source;
  #tasks = new Map(); // id → task
  #listId = '';
  #revision = 0; // of the last change in #tasks, or of the snapshot
  #snapshot; // the list while it arrives; undefined once it is complete
  #connection = { type: 'connection', state: 'connecting', since: undefined };
  #offlineTimer;
  #checkTimer; // undefined while the feed is closed
  #checkedAt; // Date.now() of the last check
  #checksLeft; // checks that may pass before the stream has to send something

  constructor(emit) {
    this.#emit = emit;
    // The network may be another one, and the connection dead.
    addEventListener('online', () => this.#checkTimer !== undefined && this.#reopen());
  }

  open() {
    this.#stop();
    const source = new EventSource('/events?filter=any');
    this.#source = source;
    this.#snapshot = new Map(); // a new source begins with a snapshot
    const on = (name, take) => source.addEventListener(name, ({ data }) => {
      this.#checksLeft = FEED_SILENT_CHECKS_MAX;
      take(JSON.parse(data));
    });
    on('reset', () => {
      this.#snapshot = new Map();
    });
    on('updates', (updates) => this.#updates(updates));
    on('synced', (position) => this.#synced(position));
    on('offline', () => this.#lost('offline'));
    on('alive', () => {});
    source.addEventListener('error', () => {
      this.#lost('reconnecting');
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again itself
      setTimeout(() => {
        if (this.#source === source) this.open();
      }, REOPEN_MS);
    });
    this.#checksLeft = FEED_SILENT_CHECKS_MAX;
    this.#checkedAt = Date.now();
    this.#checkTimer = setInterval(() => this.#check(), FEED_CHECK_MS);
  }

  // Stops until the next open(), which begins with a snapshot.
  close() {
    this.#stop();
    this.#connect('connecting', undefined);
  }

  // The messages that bring a new tab up to date.
  state() {
    const known = this.#listId === '' ? [] : [this.#list()];
    return [...known, this.#connection];
  }

  #stop() {
    clearInterval(this.#checkTimer);
    this.#checkTimer = undefined;
    this.#source?.close();
    this.#source = undefined;
  }

  // A connection can die silently, and browsers notice after minutes. A late check means that
  // the computer slept or its clock was set: a stream that is silent until the next check is
  // replaced. Silence is counted in checks because no clock of a browser is reliable in sleep.
  #check() {
    const now = Date.now();
    const late = Math.abs(now - this.#checkedAt) > FEED_CHECK_LATE_MS_MAX;
    this.#checkedAt = now;
    this.#checksLeft = late && this.#checksLeft > 1 ? 1 : this.#checksLeft - 1;
    if (this.#checksLeft === 0) this.#reopen();
  }

  #list() {
    return {
      type: 'list',
      listId: this.#listId,
      revision: this.#revision,
      tasks: [...this.#tasks.values()],
    };
  }

  #updates(updates) {
    const changes = [];
    for (const update of updates) {
      const task = taskFromWire(update.task);
      if (this.#snapshot) {
        apply(this.#snapshot, update.action, task);
        continue;
      }
      const revision = Number(update.revision);
      const order = orderOf(update, this.#revision);
      if (order === 'duplicate') continue;
      if (order === 'gap') return this.#startOver(changes);
      this.#revision = revision;
      apply(this.#tasks, update.action, task);
      changes.push({ action: update.action, requestId: update.requestId ?? '', revision, task });
    }
    this.#send(changes);
  }

  #synced({ listId, revision }) {
    if (this.#snapshot) {
      this.#tasks = this.#snapshot;
      this.#snapshot = undefined;
      this.#listId = listId;
      this.#revision = Number(revision);
      this.#emit(this.#list());
    } else if (listId !== this.#listId || Number(revision) < this.#revision) {
      // A greater revision is not taken over: if a change was lost, the next one shows it.
      return this.#startOver([]);
    }
    this.#connect('live', undefined);
  }

  // After a gap only a snapshot is complete.
  #startOver(changes) {
    this.#send(changes);
    this.#reopen();
  }

  #reopen() {
    this.#lost('reconnecting');
    this.open();
  }

  #send(changes) {
    if (changes.length > 0) this.#emit({ type: 'changes', changes });
  }

  #lost(state) {
    const since = this.#connection.since ?? Date.now();
    if (this.#connection.state !== 'offline') this.#connect(state, since);
    this.#offlineTimer ??= setTimeout(() => this.#connect('offline', since), OFFLINE_AFTER_MS);
  }

  #connect(state, since) {
    if (since === undefined) {
      clearTimeout(this.#offlineTimer);
      this.#offlineTimer = undefined;
    }
    this.#connection = { type: 'connection', state, since };
    this.#emit(this.#connection);
  }
}

// Returns how an update follows a position, the revision up to which all is known: 'next',
// 'duplicate' or 'gap'. No change that concerns the stream lies between the update's previous
// revision and its revision. proto3 JSON writes an int64 as a string and omits 0.
export function orderOf({ revision, previousRevision = 0 }, position) {
  if (Number(revision) <= position) return 'duplicate';
  return Number(previousRevision) <= position ? 'next' : 'gap';
}

// A purged task was removed for good: its change carries only the id.
function apply(tasks, action, task) {
  if (action === 'PURGED') tasks.delete(task.id);
  else tasks.set(task.id, task);
}
