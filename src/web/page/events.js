// Where the messages of the feed come from: the worker that the tabs share, or a feed of
// the page's own where there are no shared workers (Chrome on Android), or none may start.
import { Feed } from './feed.js';
import { TAB_HEARTBEAT_MS } from './limits.js';

export function listen(receive) {
  const own = () => new Feed(receive).open();
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
