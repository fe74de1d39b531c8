// Where the messages of the feed come from: the worker that the tabs share, or a feed in the
// page where there are no shared workers (Chrome on Android) or none can start.
import { Feed } from './feed.js';
import { TAB_HEARTBEAT_MS } from './limits.js';

// A hidden tab leaves its connection to the others.
function openWhileShown(feed) {
  feed.open();
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) feed.close();
    else feed.open();
  });
}

export function listen(receive) {
  const own = () => openWhileShown(new Feed(receive));
  let worker;
  try {
    worker = new SharedWorker('/worker.js', { type: 'module', name: 'todo' });
  } catch {
    return own();
  }
  const { port } = worker;
  const say = (word) => port.postMessage(word);
  port.onmessage = ({ data }) => receive(data);
  say('join');
  const heartbeat = setInterval(() => say('here'), TAB_HEARTBEAT_MS);
  // The browser may have frozen a hidden tab, and the worker forgotten it.
  document.addEventListener('visibilitychange', () => document.hidden || say('here'));
  // The browser may keep a page that is left, and show it again.
  addEventListener('pagehide', () => say('leave'));
  addEventListener('pageshow', ({ persisted }) => persisted && say('join'));
  worker.addEventListener('error', () => {
    clearInterval(heartbeat);
    port.close();
    own();
  }, { once: true });
}
