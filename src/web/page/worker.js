// One stream for all tabs: over HTTP/1.1 a browser has six connections to a host, and a
// stream keeps one for good. The worker holds the list and hands it to a tab that joins.
import { Feed } from './feed.js';
import { TAB_SILENT_MS_MAX } from './limits.js';

const heard = new Map(); // the port of each tab → when it last said something

const feed = new Feed((message) => {
  for (const port of heard.keys()) port.postMessage(message);
});
feed.open();

self.addEventListener('connect', ({ ports: [port] }) => {
  port.onmessage = ({ data }) => {
    if (data === 'leave') {
      heard.delete(port);
      return;
    }
    const joins = data === 'join' || !heard.has(port); // it may be back from a long sleep
    heard.set(port, Date.now());
    if (joins) for (const message of feed.state()) port.postMessage(message);
  };
});

// A tab that crashed says no goodbye.
setInterval(() => {
  for (const [port, when] of heard) {
    if (Date.now() - when > TAB_SILENT_MS_MAX) heard.delete(port);
  }
}, TAB_SILENT_MS_MAX);
