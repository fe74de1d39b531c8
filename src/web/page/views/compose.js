// The field for a new task.

const field = document.querySelector('.new-todo');

// `add(text)` returns whether the text was accepted; `leave` moves the focus to the list.
export function wireCompose({ add, leave }) {
  field.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && add(field.value)) field.value = '';
    if (event.key === 'Escape') leave();
  });
}

// Puts back the text of a task that the server refused, unless the user has typed another one.
export function giveBack(text) {
  if (field.value === '') field.value = text;
}

export function focusCompose() {
  field.focus();
}
