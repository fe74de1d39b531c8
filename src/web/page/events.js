// Where the messages of the feed come from: the worker that the tabs share, or a feed of
// the page's own where there are no shared workers (Chrome on Android), or none may start.
import { Feed } from './feed.js';
import { TAB_HEARTBEAT_MS } from './limits.js';

// A tab that nobody sees leaves its connection to the others.
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
  // A page may be kept when it is left, and come back.
  addEventListener('pagehide', () => say('leave'));
  addEventListener('pageshow', ({ persisted }) => persisted && say('join'));
  worker.addEventListener('error', () => {
    clearInterval(heartbeat);
    port.close();
    own();
  }, { once: true });
}
