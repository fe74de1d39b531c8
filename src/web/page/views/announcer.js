// Tells people who do not see the highlight what others have changed, once they pause.
import { t } from '../i18n.js';
import { ANNOUNCE_MS } from '../limits.js';
import { excerpt } from '../task.js';

const region = document.querySelector('.announcer');
let heard = [];
let timer;

export function announce(change) {
  heard.push(change);
  timer ??= setTimeout(tell, ANNOUNCE_MS);
}

function tell() {
  const [{ action, task }] = heard;
  region.textContent = heard.length === 1
    ? t(`others.${action}`, { title: excerpt(task.title) }, 'others.UPDATED')
    : t('others.many', { count: heard.length });
  heard = [];
  timer = undefined;
}
