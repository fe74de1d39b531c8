// Announces changes by others to screen readers, which do not show the highlight.
import { t } from '../i18n.js';
import { ANNOUNCE_MS } from '../limits.js';
import { excerpt } from '../task.js';

const region = document.querySelector('.announcer');
let changes = [];
let timer;

export function announce(change) {
  changes.push(change);
  timer ??= setTimeout(announceAll, ANNOUNCE_MS);
}

function announceAll() {
  const [{ action, task }] = changes;
  region.textContent = changes.length === 1
    ? t(`others.${action}`, { title: excerpt(task.title) }, 'others.UPDATED')
    : t('others.many', { count: changes.length });
  changes = [];
  timer = undefined;
}
