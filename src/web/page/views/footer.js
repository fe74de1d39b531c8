// What is said about the list as a whole, and done to it.
import { t } from '../i18n.js';
import { FILTERS } from '../router.js';

const toggleAll = document.querySelector('.toggle-all');
const clear = document.querySelector('.clear-completed');
const count = document.querySelector('.todo-count');
const found = document.querySelector('.found');
const footer = document.querySelector('.footer');
const toolbar = document.querySelector('.toolbar');
const all = document.querySelector('.all');

export function wireFooter({ onToggleAll, onClear }) {
  toggleAll.addEventListener('change', onToggleAll);
  clear.addEventListener('click', () => {
    onClear();
    // The button vanishes with the last completed task.
    document.querySelector('.filters .selected').focus();
  });
}

export function showFooter({ items, open, completed, left, total }, { filter, query }) {
  setText(count, t('count.left', { count: left }));
  setText(found, query.trim() === '' ? '' : t('list.found', { count: items.length }));
  setText(clear, t('clear-completed', { count: completed.length }));
  // Among the deleted tasks nothing else is shown that could be completed or cleared.
  all.hidden = filter === 'deleted';
  clear.hidden = completed.length === 0 || filter === 'deleted';
  toggleAll.checked = open.length === 0 && completed.length > 0;
  toggleAll.disabled = open.length + completed.length === 0;
  for (const link of document.querySelectorAll('.filters a')) {
    const selected = link.hash === FILTERS[filter].hash;
    link.classList.toggle('selected', selected);
    if (selected) link.ariaCurrent = 'page';
    else link.removeAttribute('aria-current');
  }
  // With nothing in it, a new list is only the field to write into.
  const unused = total === 0 && filter === 'all' && query === '';
  footer.hidden = unused;
  toolbar.hidden = unused;
}

// A live region is read again whenever it is written, so only when it changes.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
