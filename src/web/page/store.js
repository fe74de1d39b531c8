// The list in the page: the tasks that the server confirmed, with the page's own changes on top.
import { isOwnRequest, newRequestId, Refused } from './api.js';
import { Overlay } from './overlay.js';
import { taskFromWire } from './task.js';

// The code of a change that was dropped because the server now has another list.
const LIST_REPLACED = 'list_replaced';

export class Store {
  loaded = false;
  listId = '';
  onchange = () => {}; // called when the page has to be drawn again
  onchanges = () => {}; // called with confirmed changes, the page's own included
  #api;
  #confirmed = new Map(); // id → confirmed task, with its key
  #revision = 0; // the stream has sent every change up to this one
  #keys = new Map(); // id → key of the tasks added in this page
  #ids = new Map(); // the inverse
  #overlay = new Overlay();
  #shown; // what tasks() returned last, until something changes
  #lanes = new Map(); // lane → its last call; the calls of a lane run one after another

  constructor(api) {
    this.#api = api;
  }

  get pending() {
    return this.#overlay.size;
  }

  // Takes a `list` or `changes` message of the feed.
  receive(message) {
    if (message.type === 'list') this.#replace(message);
    else this.#apply(message.changes);
    this.#changed();
  }

  // Returns every task as shown, deleted ones included, in the order they were added.
  tasks() {
    this.#shown ??= this.#build();
    return this.#shown;
  }

  #build() {
    const tasks = [];
    for (const task of this.#confirmed.values()) tasks.push(this.#overlay.over(task.key, task));
    if (!isSorted(tasks)) tasks.sort((a, b) => a.id - b.id);
    tasks.push(...this.#overlay.added());
    return tasks;
  }

  // Returns the task as shown, or undefined.
  task(key) {
    const task = this.#confirmed.get(this.idOf(key));
    if (task) return this.#overlay.over(key, task);
    return [...this.#overlay.added()].find((added) => added.key === key);
  }

  idOf(key) {
    return typeof key === 'number' ? key : this.#ids.get(key);
  }

  // Makes a change and shows it immediately. Resolves when the server has confirmed it. Rejects
  // with Refused, after which the change is no longer shown.
  async change(method, key, extra = {}) {
    const requestId = newRequestId();
    const operation = { method, key: key ?? requestId, requestId, ...extra };
    const listId = this.listId;
    this.#overlay.put(operation);
    this.#changed();
    const lanes = method === 'AddTask' ? ['add', requestId] : [key];
    try {
      const answer = await this.#inOrder(lanes, () => this.#send(operation, listId));
      if (!this.#replaced(listId)) this.#confirm(taskFromWire(answer.task), requestId);
    } finally {
      this.#overlay.take(requestId);
      this.#changed();
    }
  }

  // Reads the task from the server.
  async refresh(key) {
    const { listId } = this;
    const answer = await this.#api.read('GetTask', { taskId: this.idOf(key) });
    if (!this.#replaced(listId)) this.#confirm(taskFromWire(answer.task), '');
    this.#changed();
  }

  #changed() {
    this.#shown = undefined;
    this.onchange();
  }

  // An edit is refused as `aborted` if the title is no longer the one that was edited: here or,
  // if this page has not received that change yet, by the server.
  #send({ method, key, requestId, title, baseTitle }, listId) {
    const check = () => {
      if (this.#replaced(listId)) throw new Refused(LIST_REPLACED, '');
    };
    check();
    if (method === 'AddTask') return this.#api.change(method, { title, requestId }, check);
    const taskId = this.idOf(key);
    if (taskId === undefined) throw new Refused('not_found', ''); // its AddTask was refused
    const known = this.#confirmed.get(taskId);
    if (baseTitle !== undefined && known?.title !== baseTitle) throw new Refused('aborted', '');
    const expectedRevision = baseTitle === undefined ? undefined : known.revision;
    return this.#api.change(method, { taskId, title, requestId, expectedRevision }, check);
  }

  // Runs the call after the earlier calls of its lanes.
  async #inOrder(lanes, call) {
    const before = lanes.map((lane) => this.#lanes.get(lane));
    const run = Promise.all(before).then(call);
    const settled = run.catch(() => {});
    for (const lane of lanes) this.#lanes.set(lane, settled);
    try {
      return await run;
    } finally {
      for (const lane of lanes) {
        if (this.#lanes.get(lane) === settled) this.#lanes.delete(lane);
      }
    }
  }

  #replace({ listId, revision, tasks }) {
    const known = this.#confirmed;
    const before = this.listId;
    this.#confirmed = new Map();
    this.listId = listId;
    this.loaded = true;
    if (this.#replaced(before)) {
      this.#keys.clear();
      this.#ids.clear();
      this.#overlay.clear();
    }
    this.#revision = 0;
    for (const task of tasks) this.#put(task);
    this.#revision = revision;
    // The answer to one of the page's own changes may have overtaken the stream.
    if (listId === before) {
      for (const task of known.values()) if (task.revision > revision) this.#put(task);
    }
  }

  // Whether the list is no longer the one with this id. Task ids mean something only within
  // their list.
  #replaced(listId) {
    return listId !== '' && listId !== this.listId;
  }

  #apply(changes) {
    for (const { action, revision, task, requestId } of changes) {
      if (action === 'PURGED') this.#confirmed.delete(task.id);
      else this.#confirm(task, requestId);
      this.#revision = revision;
    }
    this.onchanges(changes.map((change) => ({
      ...change,
      key: this.#key(change.task.id),
      own: isOwnRequest(change.requestId),
    })));
  }

  #confirm(task, requestId) {
    const operation = this.#overlay.take(requestId);
    if (operation?.method === 'AddTask') {
      this.#keys.set(task.id, operation.key);
      this.#ids.set(operation.key, task.id);
      const known = this.#confirmed.get(task.id); // a snapshot may have sent it already
      if (known) this.#confirmed.set(task.id, { ...known, key: operation.key });
    }
    this.#put(task);
  }

  // Answers and changes arrive independently, in any order: the newer one stays. A task that
  // is missing although the stream has passed its revision was purged.
  #put(task) {
    const known = this.#confirmed.get(task.id);
    if (task.revision <= (known?.revision ?? this.#revision)) return;
    this.#confirmed.set(task.id, { ...task, key: this.#key(task.id), pending: false });
  }

  #key(id) {
    return this.#keys.get(id) ?? id;
  }
}

function isSorted(tasks) {
  return tasks.every((task, i) => i === 0 || tasks[i - 1].id < task.id);
}
