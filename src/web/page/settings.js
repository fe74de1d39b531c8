// What this browser remembers. Storage may be missing, full or forbidden: then
// a setting lives as long as the page.

const PREFIX = 'todo.';
const unsaved = new Map();

export function remember(name, value) {
  unsaved.set(name, value);
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // `unsaved` has it.
  }
}

// The remembered text, or undefined.
export function recall(name) {
  if (unsaved.has(name)) return unsaved.get(name);
  try {
    return localStorage.getItem(PREFIX + name) ?? undefined;
  } catch {
    return undefined;
  }
}
