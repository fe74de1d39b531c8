// The shortcuts: one table, which the page obeys and the help shows.
import { recall, remember } from './settings.js';

// `keys` act wherever nobody types; `onRow` only while a task has the focus; `native` is what
// the browser does by itself. One character alone is a single-key shortcut, which speech
// input may fire by mistake, so those can be switched off (WCAG 2.1.4).
export const SHORTCUTS = [
  { does: 'add', keys: ['n'] },
  { does: 'search', keys: ['/', 's'] },
  { does: 'next', keys: ['j'], onRow: ['ArrowDown'] },
  { does: 'previous', keys: ['k'], onRow: ['ArrowUp'] },
  { does: 'first', onRow: ['Home'] },
  { does: 'last', onRow: ['End'] },
  { does: 'toggle', keys: ['x'], native: ['Space'] },
  { does: 'edit', keys: ['e'], onRow: ['F2', 'Enter'] },
  { does: 'remove', keys: ['d'], onRow: ['Delete'] },
  { does: 'restore', keys: ['r'] },
  { does: 'history', keys: ['h'] },
  { does: 'undo', keys: ['u', 'Ctrl+Z'] },
  { does: 'all', keys: ['1'] },
  { does: 'active', keys: ['2'] },
  { does: 'completed', keys: ['3'] },
  { does: 'deleted', keys: ['4'] },
  { does: 'help', keys: ['?'] },
  { does: 'leave', native: ['Escape'] },
];

const SETTING = 'single-keys';

export function singleKeysOn() {
  return recall(SETTING) !== 'off';
}

export function setSingleKeys(on) {
  remember(SETTING, on ? 'on' : 'off');
}

// Calls run(does) for each shortcut that is pressed. It returns whether it did anything;
// if not, the key keeps its usual meaning.
export function onShortcut(run) {
  addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.isComposing || isTyping(event.target)) return;
    if (document.querySelector('dialog[open]')) return;
    const pressed = name(event);
    if (!pressed || ([...pressed].length === 1 && !singleKeysOn())) return;
    const onRow = event.target.matches('.todo-list .toggle, .todo-list .restore');
    const found = SHORTCUTS.find(({ keys = [], onRow: there = [] }) =>
      keys.includes(pressed) || (onRow && there.includes(pressed)));
    // Enter on a button is the button's.
    if (!found || (pressed === 'Enter' && event.target.matches('button'))) return;
    if (run(found.does)) event.preventDefault();
  });
}

// Where letters are not Latin (a Russian keyboard) the key's place counts.
function name({ key, code, ctrlKey, metaKey, altKey, shiftKey }) {
  const latin = /^[^\x00-\x7f]$/.test(key) && code.startsWith('Key') ? code.slice(3) : key;
  const control = ctrlKey || metaKey;
  if (altKey || (control && shiftKey)) return undefined;
  if (control) return `Ctrl+${latin.toUpperCase()}`;
  return latin.length === 1 ? latin.toLowerCase() : latin;
}

function isTyping(target) {
  return target.matches('input:not([type=checkbox]), textarea, select, [contenteditable]');
}
