// Shows whether the page is up to date with the server.
import { clock, t } from '../i18n.js';

const element = document.querySelector('.connection');
const text = element.querySelector('.connection-state');
const waiting = document.querySelector('.waiting');

export function showConnection({ state, since }, pending) {
  element.dataset.state = state;
  write(text, t(`connection.${state}`, { time: since === undefined ? '' : clock(since) }));
  const held = state === 'live' ? 0 : pending;
  write(waiting, held > 0 ? t('connection.waiting', { count: held }) : '');
}

function write(target, words) {
  if (target.textContent !== words) target.textContent = words;
}
