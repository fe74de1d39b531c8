// The history of one task, oldest change first. The open dialog shows new changes as well.
import { dateAndTime, t } from '../i18n.js';
import { HISTORY_PAGE_CHANGES } from '../limits.js';

const dialog = document.querySelector('dialog.history');
const heading = dialog.querySelector('.history-task');
const list = dialog.querySelector('.history-changes');
const note = dialog.querySelector('.history-note');
const more = dialog.querySelector('.history-more');

export class HistoryDialog {
  #api;
  #id; // of the task
  #pageToken;
  #later; // changes that arrive while the first page loads; undefined afterwards

  constructor(api) {
    this.#api = api;
    more.addEventListener('click', () => this.#load(this.#id));
  }

  open({ id, title }) {
    if (id === undefined) return; // the server does not know the task yet
    this.#id = id;
    this.#pageToken = '';
    this.#later = [];
    heading.textContent = title;
    list.replaceChildren();
    note.textContent = t('history.loading');
    more.hidden = true;
    dialog.showModal();
    this.#load(id);
  }

  // Appends a change that the feed has just sent, if it concerns the task.
  changed(change) {
    if (!dialog.open || change.task.id !== this.#id) return;
    if (this.#later) this.#later.push(change);
    else if (!this.#pageToken) this.#append([change]);
  }

  async #load(id) {
    const request = { taskId: id, pageSize: HISTORY_PAGE_CHANGES, pageToken: this.#pageToken };
    try {
      const page = await this.#api.read('ListChanges', request);
      if (id !== this.#id) return;
      this.#pageToken = page.nextPageToken ?? '';
      note.textContent = '';
      more.hidden = this.#pageToken === '';
      const changes = page.changes ?? [];
      if (changes[0]?.action !== 'ADDED' && list.childElementCount === 0) {
        note.textContent = t('history.forgotten');
      }
      this.#append(changes);
      if (!this.#pageToken && this.#later) this.#append(this.#later);
      this.#later = undefined;
    } catch (error) {
      note.textContent = t('history.failed', { message: error.message });
    }
  }

  #append(changes) {
    for (const { action, revision, task } of changes) {
      const last = list.lastElementChild;
      if (last && Number(last.dataset.revision) >= Number(revision)) continue;
      list.append(entry(action, revision, task));
    }
  }
}

function entry(action, revision, task) {
  const li = document.createElement('li');
  li.dataset.revision = revision;
  const what = document.createElement('strong');
  what.textContent = t(`history.${action}`, {}, 'history.UPDATED');
  const when = document.createElement('time');
  when.dateTime = task.updatedAt ?? ''; // a purged task has only its id
  when.textContent = dateAndTime(task.updatedAt);
  li.append(what, when);
  if (action === 'ADDED' || action === 'UPDATED') {
    const title = document.createElement('span');
    title.dir = 'auto';
    title.textContent = task.title;
    li.append(title);
  }
  return li;
}
