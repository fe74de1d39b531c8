// Selects and counts the tasks that the page shows.
import { FILTERS } from './router.js';

const folded = new WeakMap(); // task → its title in the form that search compares

function fold(task) {
  let text = folded.get(task);
  if (text === undefined) {
    text = task.title.normalize('NFC').toLocaleLowerCase();
    folded.set(task, text);
  }
  return text;
}

// Returns `items`, the tasks to show, which always include the task that is being edited;
// `open` and `completed`, the matching tasks that toggle-all and clear-completed act on, which
// never include deleted ones; and the counts `left` (open) and `total`.
export function select(tasks, { filter, query, editing }) {
  const words = query.normalize('NFC').toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const { shows } = FILTERS[filter];
  const selected = { items: [], open: [], completed: [], left: 0, total: tasks.length };
  for (const task of tasks) {
    if (!task.deleted && !task.completed) selected.left += 1;
    const found = words.every((word) => fold(task).includes(word));
    if (found && !task.deleted) selected[task.completed ? 'completed' : 'open'].push(task);
    if ((found && shows(task)) || task.key === editing) selected.items.push(task);
  }
  return selected;
}
