// Own changes that the server has not confirmed yet, as they will look once it has.
//
// A task is addressed by its key: its id or, if it was added here, a name given before
// there was an id, which it keeps so that its row on the page stays the same one.

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

  // Returns the operation that the request belongs to if it was pending.
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

  // The task as the page shows it.
  over(key, task) {
    const operations = this.#byKey.get(key);
    if (!operations && task.key === key) return task;
    return (operations ?? []).reduce(
      (shown, operation) => ({ ...shown, ...EFFECT[operation.method](operation) }),
      { ...task, key, pending: operations !== undefined },
    );
  }

  // The tasks that have no id yet, in the order they were added.
  *added() {
    for (const { key, title } of this.#adds.values()) {
      const task = { key, id: undefined, title, completed: false, deleted: false, revision: 0 };
      yield { ...this.over(key, task), pending: true };
    }
  }
}
