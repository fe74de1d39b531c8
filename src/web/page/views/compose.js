// The field for a new task.

const field = document.querySelector('.new-todo');

// `add(text)` returns whether the text was taken; `leave` goes on to the list.
export function wireCompose({ add, leave }) {
  field.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && add(field.value)) field.value = '';
    if (event.key === 'Escape') leave();
  });
}

// The text of a task that the server refused, so that nobody has to write it again.
export function giveBack(text) {
  if (field.value === '') field.value = text;
}

export function focusCompose() {
  field.focus();
}
