// What the user can do to the list, and the messages about it.
import { Refused } from './api.js';
import { t } from './i18n.js';
import { UNDO_MS, UNDOABLE_MAX } from './limits.js';
import { excerpt, titleFault } from './task.js';

const INVERSE = {
  CompleteTask: 'ReopenTask',
  ReopenTask: 'CompleteTask',
  DeleteTask: 'RestoreTask',
};
const DONE = { CompleteTask: 'done.completed', ReopenTask: 'done.reopened', DeleteTask: 'done.cleared' };

export class Actions {
  #store;
  #toasts;
  #undoable = []; // the newest last: { method, keys, listId, toast }

  constructor(store, toasts) {
    this.#store = store;
    this.#toasts = toasts;
  }

  // The id of the list that the page shows.
  get listId() {
    return this.#store.listId;
  }

  // Returns whether the title may be sent; if not, shows why. If the server refuses the task,
  // `refused` is called with the title.
  add(text, refused) {
    const title = text.trim();
    if (title === '' || !this.#checked(title)) return false;
    this.#change('AddTask', undefined, title, { title }).then((ok) => ok || refused(title));
    return true;
  }

  toggle({ key, title, completed, deleted }) {
    if (!deleted) this.#change(completed ? 'ReopenTask' : 'CompleteTask', key, title);
  }

  remove({ key, title }) {
    this.#change('DeleteTask', key, title);
    this.#offerUndo('DeleteTask', [key], t('done.deleted', { title: excerpt(title) }));
  }

  restore({ key, title }) {
    this.#change('RestoreTask', key, title);
  }

  // `base` is the task when editing began, in the list `listId`. Returns whether the text was
  // accepted. An empty text deletes the task.
  edit(base, text, listId) {
    const title = text.trim();
    if (title === base.title) return true;
    if (listId !== this.listId) this.#refused(new Refused('list_replaced', ''), 'UpdateTask', title);
    else if (title === '') this.remove(base);
    else if (!this.#checked(title)) return false;
    else this.#edit(base, title);
    return true;
  }

  // Completes the open tasks or, if there are none, reopens the completed ones.
  toggleAll({ open, completed }) {
    const [method, tasks] = open.length > 0 ? ['CompleteTask', open] : ['ReopenTask', completed];
    this.#changeAll(method, tasks);
  }

  clearCompleted({ completed }) {
    this.#changeAll('DeleteTask', completed);
  }

  // Undoes the newest deletion, or change of many tasks, that can still be undone. Returns
  // whether there was one.
  undo() {
    const newest = this.#undoable.at(-1);
    if (newest) this.#undo(newest);
    return newest !== undefined;
  }

  // If someone else changed the title since editing began, the user decides. Other changes of
  // the task do not matter.
  async #edit(base, title) {
    const { key } = base;
    for (;;) {
      const now = this.#store.task(key);
      if (!now) return this.#refused(new Refused('not_found', ''), 'UpdateTask', title);
      if (now.title !== base.title) return this.#conflict(base, title);
      try {
        return await this.#store.change('UpdateTask', key, { title, baseTitle: base.title });
      } catch (error) {
        if (error.code !== 'aborted') return this.#refused(error, 'UpdateTask', base.title);
      }
      try {
        await this.#store.refresh(key);
      } catch (error) {
        return this.#refused(error, 'UpdateTask', title);
      }
    }
  }

  #conflict({ key, title: old }, title) {
    const { listId } = this;
    this.#toasts.show({
      text: t('refused.conflict', { title: excerpt(old) }),
      alert: true,
      button: t('refused.keep-mine'),
      run: () => {
        if (listId === this.listId) this.#change('UpdateTask', key, title, { title });
        else this.#refused(new Refused('list_replaced', ''), 'UpdateTask', title);
      },
    });
  }

  #checked(title) {
    const fault = titleFault(title);
    if (fault) this.#toasts.show({ text: t(fault), alert: true });
    return !fault;
  }

  // Resolves with whether the change was made.
  async #change(method, key, title, extra) {
    try {
      await this.#store.change(method, key, extra);
      return true;
    } catch (error) {
      this.#refused(error, method, title);
      return false;
    }
  }

  async #changeAll(method, tasks) {
    if (tasks.length === 0) return;
    const keys = tasks.map(({ key }) => key);
    this.#offerUndo(method, keys, t(DONE[method], { count: keys.length }));
    await this.#changeKeys(method, keys);
  }

  async #changeKeys(method, keys) {
    const results = await Promise.allSettled(keys.map((key) => this.#store.change(method, key)));
    const failed = results.filter(({ reason }) => reason);
    if (failed.length === 0) return;
    const why = reason(failed[0].reason);
    this.#toasts.show({ text: t('refused.many', { count: failed.length, why }), alert: true });
  }

  #offerUndo(method, keys, text) {
    const entry = { method, keys, listId: this.#store.listId };
    entry.toast = this.#toasts.show({
      text,
      button: t('toast.undo'),
      run: () => this.#undo(entry),
      forMs: UNDO_MS,
    });
    this.#undoable = [...this.#undoable, entry].slice(-UNDOABLE_MAX);
  }

  #undo(entry) {
    this.#undoable = this.#undoable.filter((other) => other !== entry);
    entry.toast.close();
    if (entry.listId === this.#store.listId) this.#changeKeys(INVERSE[entry.method], entry.keys);
  }

  #refused(error, method, title) {
    const why = reason(error);
    this.#toasts.show({ text: t(`refused.${method}`, { title: excerpt(title), why }), alert: true });
  }
}

function reason(error) {
  if (!(error instanceof Refused)) throw error;
  const known = ['not_found', 'failed_precondition', 'resource_exhausted', 'list_replaced'];
  const key = known.includes(error.code) ? error.code : 'other';
  return t(`why.${key}`, { message: error.message });
}
