// Settings that the browser stores. If storage is missing, full or forbidden, a setting lasts
// as long as the page.

const PREFIX = 'todo.';
const unsaved = new Map();

export function remember(name, value) {
  unsaved.set(name, value);
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // `unsaved` has the value.
  }
}

// Returns the stored text, or undefined.
export function recall(name) {
  if (unsaved.has(name)) return unsaved.get(name);
  try {
    return localStorage.getItem(PREFIX + name) ?? undefined;
  } catch {
    return undefined;
  }
}
