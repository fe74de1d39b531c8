// The list as the page knows it: what the server confirmed, and own changes over it.
import { isOwnRequest, newRequestId, Refused } from './api.js';
import { Overlay } from './overlay.js';
import { taskFromWire } from './task.js';

// The code with which a change is dropped whose list is no longer there.
const LIST_REPLACED = 'list_replaced';

export class Store {
  loaded = false;
  listId = '';
  onchange = () => {}; // something to show anew
  onchanges = () => {}; // (changes) confirmed ones, one by one, own ones too
  #api;
  #confirmed = new Map(); // id → task as confirmed, with its key
  #revision = 0; // up to which the stream has sent every change
  #keys = new Map(); // id → key, of the tasks added here
  #ids = new Map(); // and the other way round
  #overlay = new Overlay();
  #lanes = new Map(); // lane → the last call in it; calls of one lane go one after the other

  constructor(api) {
    this.#api = api;
  }

  get pending() {
    return this.#overlay.size;
  }

  // Takes a message of the feed that is about the list.
  receive(message) {
    if (message.type === 'list') this.#replace(message);
    else this.#apply(message.changes);
    this.onchange();
  }

  // Every task as shown, deleted ones too, in the order they were added.
  tasks() {
    const tasks = [];
    for (const task of this.#confirmed.values()) tasks.push(this.#overlay.over(task.key, task));
    if (!isSorted(tasks)) tasks.sort((a, b) => a.id - b.id);
    tasks.push(...this.#overlay.added());
    return tasks;
  }

  // The task as shown, or undefined.
  task(key) {
    const task = this.#confirmed.get(this.idOf(key));
    if (task) return this.#overlay.over(key, task);
    return [...this.#overlay.added()].find((added) => added.key === key);
  }

  idOf(key) {
    return typeof key === 'number' ? key : this.#ids.get(key);
  }

  // Makes a change and shows it at once. Resolves once the server has confirmed it, or
  // rejects with Refused, and the change is shown no more.
  async change(method, key, extra = {}) {
    const requestId = newRequestId();
    const operation = { method, key: key ?? requestId, requestId, ...extra };
    const listId = this.listId;
    this.#overlay.put(operation);
    this.onchange();
    const lanes = method === 'AddTask' ? ['add', requestId] : [key];
    try {
      const answer = await this.#inOrder(lanes, () => this.#send(operation, listId));
      if (!this.#replaced(listId)) this.#confirm(taskFromWire(answer.task), requestId);
    } finally {
      this.#overlay.take(requestId);
      this.onchange();
    }
  }

  // Asks the server how the task is now.
  async refresh(key) {
    const { listId } = this;
    const answer = await this.#api.read('GetTask', { taskId: this.idOf(key) });
    if (!this.#replaced(listId)) this.#confirm(taskFromWire(answer.task), '');
  }

  // An edit of a title that is no longer the one that was edited is refused as `aborted`,
  // here or, if this page does not know yet, by the server.
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

  // Runs the call after those that were put into its lanes before.
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
    // The answer to an own change may have overtaken the stream.
    if (listId === before) {
      for (const task of known.values()) if (task.revision > revision) this.#put(task);
    }
  }

  // Whether another list has taken the place of the one there was. Ids of the one mean
  // nothing in the other.
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
      const known = this.#confirmed.get(task.id); // a snapshot may have brought it before
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
