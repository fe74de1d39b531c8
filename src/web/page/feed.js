// The event stream, as a list that is complete. It runs in the worker that the tabs share,
// or in the page itself, and emits messages that can be posted:
//   { type: 'list', listId, revision, tasks }   everything anew
//   { type: 'changes', changes }                 in revision order, none missing
//   { type: 'connection', state, since }         'connecting', 'live', 'reconnecting', 'offline'
import { FEED_SILENT_MS_MAX } from './limits.js';
import { taskFromWire } from './task.js';

const REOPEN_MS = 2_000; // when the browser has given up on the stream
const OFFLINE_AFTER_MS = 4_000; // a loss that is over by then is not called offline

export class Feed {
  #emit;
  #source;
  #tasks = new Map(); // id → task
  #listId = '';
  #revision = 0; // everything up to here is in #tasks
  #snapshot; // the list that is coming in, until it is complete
  #connection = { type: 'connection', state: 'connecting', since: undefined };
  #offlineTimer;
  #silenceTimer;

  constructor(emit) {
    this.#emit = emit;
  }

  open() {
    this.#source?.close();
    const source = new EventSource('/events?filter=any');
    this.#source = source;
    this.#snapshot = new Map(); // a source that is new gets a snapshot
    const on = (name, take) => source.addEventListener(name, ({ data }) => {
      this.#heard();
      take(JSON.parse(data));
    });
    on('reset', () => {
      this.#snapshot = new Map();
    });
    on('updates', (updates) => this.#updates(updates));
    on('synced', (place) => this.#synced(place));
    on('offline', () => this.#lost('offline'));
    on('alive', () => {});
    this.#heard();
    source.addEventListener('error', () => {
      this.#lost('reconnecting');
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again itself
      setTimeout(() => {
        if (this.#source === source) this.open();
      }, REOPEN_MS);
    });
  }

  // Until it is opened again, with a snapshot.
  close() {
    clearTimeout(this.#silenceTimer);
    clearTimeout(this.#offlineTimer);
    this.#offlineTimer = undefined;
    this.#source.close();
    this.#connect('connecting', undefined);
  }

  // A connection may be lost without a word: a browser would notice after minutes.
  #heard() {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => {
      this.#lost('reconnecting');
      this.open();
    }, FEED_SILENT_MS_MAX);
  }

  // What somebody who comes later has to know.
  state() {
    const known = this.#listId === '' ? [] : [this.#list()];
    return [...known, this.#connection];
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
        this.#snapshot.set(task.id, task);
        continue;
      }
      const revision = Number(update.revision);
      if (revision <= this.#revision) continue;
      if (revision !== this.#revision + 1) return this.#startOver(changes);
      this.#revision = revision;
      this.#tasks.set(task.id, task);
      changes.push({ action: update.action, requestId: update.requestId ?? '', revision, task });
    }
    this.#tell(changes);
  }

  #synced({ listId, revision }) {
    if (this.#snapshot) {
      this.#tasks = this.#snapshot;
      this.#snapshot = undefined;
      this.#listId = listId;
      this.#revision = Number(revision);
      this.#emit(this.#list());
    } else if (listId !== this.#listId || Number(revision) !== this.#revision) {
      return this.#startOver([]);
    }
    clearTimeout(this.#offlineTimer);
    this.#offlineTimer = undefined;
    this.#connect('live', undefined);
  }

  // Under filter=any revisions are consecutive: a gap is a loss, and only a snapshot mends it.
  #startOver(changes) {
    this.#tell(changes);
    this.#lost('reconnecting');
    this.open();
  }

  #tell(changes) {
    if (changes.length > 0) this.#emit({ type: 'changes', changes });
  }

  #lost(state) {
    const since = this.#connection.since ?? Date.now();
    this.#offlineTimer ??= setTimeout(() => this.#connect('offline', since), OFFLINE_AFTER_MS);
    if (this.#connection.state !== 'offline') this.#connect(state, since);
  }

  #connect(state, since) {
    this.#connection = { type: 'connection', state, since };
    this.#emit(this.#connection);
  }
}
