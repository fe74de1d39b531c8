// The keyboard shortcuts. The help dialog shows the same table.
import { recall, remember } from './settings.js';

// `keys` work everywhere except in text fields, `onRow` only while a task has the focus.
// `native` keys are handled by the browser or by the field that has the focus. `repeats`: a
// held key repeats the action. Speech input can trigger single-character shortcuts by mistake,
// so they can be switched off (WCAG 2.1.4).
export const SHORTCUTS = [
  { does: 'add', keys: ['n'] },
  { does: 'search', keys: ['/', 's'] },
  { does: 'next', keys: ['j'], onRow: ['ArrowDown'], repeats: true },
  { does: 'previous', keys: ['k'], onRow: ['ArrowUp'], repeats: true },
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

// Calls run(does) for each shortcut that is pressed. If `run` returns false, the key keeps its
// usual meaning.
export function onShortcut(run) {
  addEventListener('keydown', (event) => {
    if (event.defaultPrevented || isTyping(event.target)) return;
    if (document.querySelector('dialog[open]')) return;
    const found = shortcut(event);
    if (found && run(found.does)) event.preventDefault();
  });
}

function shortcut(event) {
  const pressed = name(event);
  if (!pressed || ([...pressed].length === 1 && !singleKeysOn())) return undefined;
  const onRow = event.target.matches('.todo-list .toggle, .todo-list .restore');
  // Enter on a button presses the button.
  if (pressed === 'Enter' && event.target.matches('button')) return undefined;
  return SHORTCUTS.find(({ keys = [], onRow: there = [] }) =>
    keys.includes(pressed) || (onRow && there.includes(pressed)));
}

// Hides key presses that must not change anything from the rest of the page.
export function wireKeys() {
  let pressedOn; // the element that had the focus when the held key was pressed
  addEventListener('keydown', (event) => {
    if (!event.repeat) pressedOn = event.target;
    if (isForInputMethod(event)) {
      event.stopImmediatePropagation();
    } else if (event.repeat && !mayRepeat(event, pressedOn)) {
      event.stopImmediatePropagation();
      event.preventDefault();
    }
  }, true);
}

// Enter or Escape that ends a composition. Safari sends it after `compositionend`, where only
// the key code 229 tells that the input method has used it.
function isForInputMethod({ isComposing, key, keyCode }) {
  return (isComposing || keyCode === 229) && (key === 'Enter' || key === 'Escape');
}

// A held key repeats text and movement. It does not repeat a change, and it does not type
// into a field that got the focus from its first press.
function mayRepeat(event, pressedOn) {
  const { key, target } = event;
  if (key === 'Tab') return true;
  if (key === 'Enter' || key === 'Escape') return false;
  if (isTyping(target)) return target === pressedOn;
  const found = shortcut(event);
  return !found || found.repeats === true;
}

// Returns the key as the table spells it. On a keyboard without Latin letters, such as a
// Russian one, the position of the key counts.
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
