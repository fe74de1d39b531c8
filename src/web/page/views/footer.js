// The toolbar and the footer: counts, filters, and actions on many tasks.
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
    // The button is hidden when no completed task is left.
    document.querySelector('.filters .selected').focus();
  });
}

export function showFooter({ items, open, completed, left, total }, { filter, query }) {
  setText(count, t('count.left', { count: left }));
  setText(found, query.trim() === '' ? '' : t('list.found', { count: items.length }));
  setText(clear, t('clear-completed', { count: completed.length }));
  // Deleted tasks can be neither completed nor cleared.
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
  // A list without tasks shows only the field for a new task.
  const unused = total === 0 && filter === 'all' && query === '';
  footer.hidden = unused;
  toolbar.hidden = unused;
}

// Screen readers read a live region on every write, so it is written only if the text differs.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
