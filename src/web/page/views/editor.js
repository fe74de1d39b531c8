// Edits a title in its row. Enter and leaving the field save, Escape discards.
import { t } from '../i18n.js';

// Puts the field into the row. `save(text)` returns whether the text was accepted;
// `end(refocus)` is called once, when editing has ended. Returns a function that saves and ends
// editing, for a row that is removed.
export function edit(row, { save, end }) {
  const field = document.createElement('input');
  field.className = 'edit';
  field.dir = 'auto';
  field.value = row.task.title;
  field.setAttribute('aria-label', t('task.editing'));
  let over = false;
  const finish = (refocus) => {
    if (over) return;
    over = true;
    row.element.classList.remove('editing');
    field.remove();
    end(refocus);
  };
  const saved = (refocus) => {
    if (!over && save(field.value)) finish(refocus);
  };
  field.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' && event.key !== 'Escape') return;
    event.preventDefault(); // or the same key would press the control that gets the focus
    if (event.key === 'Enter') saved(true);
    else finish(true);
  });
  field.addEventListener('blur', () => {
    // Switching to another window does not end editing.
    if (document.hasFocus() && field.isConnected) saved(false);
  });
  row.element.classList.add('editing');
  row.element.append(field);
  field.focus();
  field.select();
  return () => {
    if (over) return;
    save(field.value);
    finish(false);
  };
}
