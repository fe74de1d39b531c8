// The list: its rows, the focused row, and the row that is being edited.
import { t } from '../i18n.js';
import { edit } from './editor.js';
import { Row } from './row.js';
import { VirtualList } from './virtual.js';

const ul = document.querySelector('.todo-list');
const empty = document.querySelector('.empty');
const newTodo = document.querySelector('.new-todo');

export class ListView {
  editing; // the key of the task that is being edited
  #list = new VirtualList(ul, () => new Row());
  #actions;
  #redraw;
  #endEditing = () => {};
  #current; // the key of the task that last had the focus
  #flashes = new Set(); // keys to highlight with the next draw

  constructor(actions, redraw, showHistory) {
    this.#actions = actions;
    this.#redraw = redraw;
    ul.addEventListener('change', ({ target }) => {
      if (target.matches('.toggle')) this.#actions.toggle(rowOf(target).task);
    });
    ul.addEventListener('click', ({ target }) => {
      const button = target.closest('button');
      if (button) this.#press(button.className, rowOf(button), showHistory);
      else if (target.matches('label')) this.#touch(rowOf(target));
    });
    ul.addEventListener('dblclick', ({ target }) => {
      if (target.matches('label')) this.edit(rowOf(target).task.key);
    });
    ul.addEventListener('focusin', ({ target }) => {
      this.#current = rowOf(target).task.key;
    });
    addEventListener('scroll', () => redraw('scroll'), { passive: true });
    addEventListener('resize', () => redraw('scroll'));
  }

  show(items, { loaded, filter, query }) {
    const focused = this.#focusedRow();
    const index = focused ? this.#list.indexOf(focused.task.key) : -1;
    this.#list.show(items);
    if (this.editing !== undefined && this.#list.indexOf(this.editing) < 0) this.#endEditing();
    if (focused && !focused.element.isConnected) this.#focusIndex(index);
    for (const key of this.#flashes) this.#list.row(key)?.flash();
    this.#flashes.clear();
    empty.hidden = items.length > 0;
    empty.textContent = empty.hidden ? '' : emptyText(loaded, filter, query);
  }

  refresh() {
    this.#list.refresh();
  }

  // Returns the task that shortcuts act on: the one with the focus or, if nothing has the
  // focus, the one that last had it and is still shown.
  current() {
    const focused = this.#focusedRow();
    if (focused) return focused.task;
    if (document.activeElement !== document.body) return undefined;
    return this.#list.items[this.#list.indexOf(this.#current)];
  }

  flash(key) {
    this.#flashes.add(key);
  }

  // Moves the focus by `step` tasks, at most to the first or last one. Returns whether there is
  // a task.
  move(step) {
    const index = this.#list.indexOf(this.#current);
    return this.#focusIndex(index < 0 ? 0 : index + step);
  }

  first() {
    return this.#focusIndex(0);
  }

  last() {
    return this.#focusIndex(this.#list.items.length - 1);
  }

  // Returns the focus from a field to the task that last had it.
  enter() {
    return this.move(0);
  }

  reveal(key) {
    const index = this.#list.indexOf(key);
    if (index >= 0) this.#list.reveal(index);
  }

  edit(key) {
    const index = this.#list.indexOf(key);
    if (index < 0 || this.editing !== undefined) return false;
    const row = this.#list.reveal(index);
    const base = row.task;
    if (base.deleted) return false;
    this.editing = key;
    const { listId } = this.#actions;
    this.#endEditing = edit(row, {
      save: (text) => this.#actions.edit(base, text, listId),
      end: (refocus) => {
        this.editing = undefined;
        if (refocus) row.focus();
        this.#redraw();
      },
    });
    return true;
  }

  #focusIndex(index) {
    const { length } = this.#list.items;
    if (length === 0) {
      newTodo.focus();
      return false;
    }
    this.#list.reveal(Math.min(Math.max(index, 0), length - 1)).focus();
    return true;
  }

  #focusedRow() {
    return document.activeElement.closest('.todo-list > li')?.row;
  }

  #press(name, row, showHistory) {
    const { task } = row;
    if (name === 'edit-open') this.edit(task.key);
    if (name === 'history-open') showHistory(task);
    if (name === 'restore') this.#actions.restore(task);
    if (name === 'destroy') this.#actions.remove(task);
  }

  // A tap on a title edits it. A click focuses the row, so that shortcuts act on it.
  #touch(row) {
    if (matchMedia('(pointer: coarse)').matches) this.edit(row.task.key);
    else if (getSelection().isCollapsed) row.focus();
  }
}

function rowOf(element) {
  return element.closest('li').row;
}

function emptyText(loaded, filter, query) {
  if (!loaded) return t('list.loading');
  if (query.trim() !== '') return t('list.none.found', { query: query.trim() });
  return t(filter === 'all' ? 'list.none' : `list.none.${filter}`);
}
