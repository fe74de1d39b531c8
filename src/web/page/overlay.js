// The page's own changes that the server has not confirmed yet, applied to the tasks.
//
// A task is addressed by its key. The key is the id or, for a task added in this page, the
// request id of its AddTask: the key never changes, so the task keeps its row.

const EFFECT = {
  CompleteTask: () => ({ completed: true }),
  ReopenTask: () => ({ completed: false }),
  UpdateTask: ({ title }) => ({ title }),
  DeleteTask: () => ({ deleted: true }),
  RestoreTask: () => ({ deleted: false }),
};

export class Overlay {
  #byKey = new Map(); // key → operations, oldest first
  #byRequest = new Map(); // request id → operation
  #adds = new Map(); // key → AddTask operation

  get size() {
    return this.#byRequest.size;
  }

  put(operation) {
    const { key, method, requestId } = operation;
    this.#byRequest.set(requestId, operation);
    if (method === 'AddTask') {
      this.#adds.set(key, operation);
      return;
    }
    const operations = this.#byKey.get(key);
    if (operations) operations.push(operation);
    else this.#byKey.set(key, [operation]);
  }

  // Removes and returns the operation of the request, or returns undefined.
  take(requestId) {
    const operation = this.#byRequest.get(requestId);
    if (!operation) return undefined;
    this.#byRequest.delete(requestId);
    this.#adds.delete(operation.key);
    const rest = (this.#byKey.get(operation.key) ?? []).filter((o) => o !== operation);
    if (rest.length > 0) this.#byKey.set(operation.key, rest);
    else this.#byKey.delete(operation.key);
    return operation;
  }

  clear() {
    this.#byKey.clear();
    this.#byRequest.clear();
    this.#adds.clear();
  }

  // Returns the task with the pending operations applied.
  over(key, task) {
    const operations = this.#byKey.get(key);
    if (!operations && task.key === key) return task;
    return (operations ?? []).reduce(
      (shown, operation) => ({ ...shown, ...EFFECT[operation.method](operation) }),
      { ...task, key, pending: operations !== undefined },
    );
  }

  // The tasks that do not have an id yet, in the order they were added.
  *added() {
    for (const { key, title } of this.#adds.values()) {
      const task = { key, id: undefined, title, completed: false, deleted: false, revision: 0 };
      yield { ...this.over(key, task), pending: true };
    }
  }
}
