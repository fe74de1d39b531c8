// Which of the tasks the page shows, and what it says about them.
import { FILTERS } from './router.js';

const folded = new WeakMap(); // task → its title as search compares it

function fold(task) {
  let text = folded.get(task);
  if (text === undefined) {
    text = task.title.normalize('NFC').toLocaleLowerCase();
    folded.set(task, text);
  }
  return text;
}

// `items` are the tasks to show; the task that is being edited stays among them whatever
// becomes of it. `open` and `completed` are what toggle-all and clear-completed act on:
// tasks that are not deleted and match the search.
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
