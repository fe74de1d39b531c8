// The row of one task.
import { translate } from '../i18n.js';
import { HIGHLIGHT_MS } from '../limits.js';

const template = document.querySelector('template.row');
let made = 0;

export class Row {
  element = template.content.firstElementChild.cloneNode(true);
  task;
  #toggle = this.element.querySelector('.toggle');
  #label = this.element.querySelector('label');
  #highlight;

  constructor() {
    made += 1;
    this.#label.id = `title-${made}`;
    this.#toggle.setAttribute('aria-labelledby', this.#label.id);
    for (const button of this.element.querySelectorAll('button')) {
      button.id = `${button.className}-${made}`;
      button.setAttribute('aria-labelledby', `${button.id} ${this.#label.id}`);
    }
    this.element.row = this;
    translate(this.element);
  }

  // Whether the row has the focus or is being edited.
  get isHeld() {
    const { classList } = this.element;
    return classList.contains('editing') || this.element.contains(document.activeElement);
  }

  update(task, index, count) {
    this.element.ariaPosInSet = index + 1;
    this.element.ariaSetSize = count;
    this.#toggle.checked = task.completed; // a click changes it even if the server refuses
    if (task === this.task) return;
    this.task = task;
    if (this.#label.textContent !== task.title) this.#label.textContent = task.title;
    this.#toggle.disabled = task.deleted;
    for (const name of ['completed', 'deleted', 'pending']) {
      this.element.classList.toggle(name, task[name]);
    }
  }

  focus() {
    this.element.querySelector(this.task.deleted ? '.restore' : '.toggle').focus();
  }

  // Highlights a change by someone else.
  flash() {
    clearTimeout(this.#highlight);
    this.element.classList.add('changed');
    this.#highlight = setTimeout(() => this.element.classList.remove('changed'), HIGHLIGHT_MS);
  }
}
