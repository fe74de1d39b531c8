// Editing a title where it stands: Enter and leaving the field save, Escape does not.
import { t } from '../i18n.js';

// Puts the field into the row. `save(text)` returns whether the text was taken;
// `end(refocus)` is called once, when the editing is over. Returns what ends it, as leaving
// the field does, when the row is no longer there.
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
    event.preventDefault(); // else what gets the focus now is pressed by the same key
    if (event.key === 'Enter') saved(true);
    else finish(true);
  });
  field.addEventListener('blur', () => {
    // Another window is not another field.
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
