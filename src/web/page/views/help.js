// The help dialog, which lists the shortcuts, and what closes a dialog.
import { onLanguage, t } from '../i18n.js';
import { setSingleKeys, SHORTCUTS, singleKeysOn } from '../keys.js';

const dialog = document.querySelector('dialog.help');
const body = dialog.querySelector('tbody');
const single = dialog.querySelector('.single-keys');

export function openHelp() {
  dialog.showModal();
}

export function wireHelp() {
  document.querySelector('.help-open').addEventListener('click', openHelp);
  single.checked = singleKeysOn();
  single.addEventListener('change', () => {
    setSingleKeys(single.checked);
    fill();
  });
  fill();
  onLanguage(fill);
  for (const each of document.querySelectorAll('dialog')) closeWith(each);
}

function fill() {
  body.replaceChildren(...SHORTCUTS.map(({ does, keys = [], onRow = [], native = [] }) => {
    const row = document.createElement('tr');
    const what = document.createElement('th');
    what.scope = 'row';
    what.textContent = t(`does.${does}`);
    const which = document.createElement('td');
    for (const key of [...keys, ...onRow, ...native]) which.append(keycap(key), ' ');
    row.append(what, which);
    return row;
  }));
}

const SIGNS = { ArrowDown: '↓', ArrowUp: '↑' };
const NAMED = new Set(['Space', 'Enter', 'Escape', 'Delete', 'Home', 'End']);

function keycap(key) {
  const cap = document.createElement('kbd');
  cap.textContent = NAMED.has(key) ? t(`key.${key}`) : SIGNS[key] ?? key;
  if (key.length === 1 && !singleKeysOn()) cap.className = 'off';
  return cap;
}

// The close button closes the dialog, and so does a click beside it. A click begins where the
// mouse button is pressed: selecting text past the edge of the dialog does not close it.
function closeWith(dialog) {
  let beside = false;
  dialog.querySelector('.close').addEventListener('click', () => dialog.close());
  dialog.addEventListener('mousedown', ({ target }) => { beside = target === dialog; });
  dialog.addEventListener('mouseup', ({ target }) => { beside &&= target === dialog; });
  dialog.addEventListener('click', ({ target }) => {
    if (beside && target === dialog) dialog.close();
  });
}
