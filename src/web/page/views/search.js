// The search field, which filters while the user types.

const field = document.querySelector('.search');

export function wireSearch({ changed, leave }) {
  field.addEventListener('input', changed);
  field.addEventListener('keydown', (event) => {
    if (!['Enter', 'Escape'].includes(event.key)) return;
    if (event.key === 'Escape' && field.value !== '') {
      field.value = '';
      changed();
    }
    event.preventDefault();
    leave();
  });
}

export function query() {
  return field.value;
}

export function focusSearch() {
  field.focus();
  field.select();
}
