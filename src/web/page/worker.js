// One stream for all tabs: over HTTP/1.1 a browser opens six connections to a host, and a
// stream keeps one of them. The worker holds the list and sends it to a tab that joins.
import { Feed } from './feed.js';
import { TAB_HEARTBEAT_MS, TAB_HEARTBEATS_MISSED_MAX } from './limits.js';

const missed = new Map(); // port of a tab → heartbeats it has missed

const feed = new Feed((message) => {
  for (const port of missed.keys()) port.postMessage(message);
});
feed.open();

self.addEventListener('connect', ({ ports: [port] }) => {
  port.onmessage = ({ data }) => {
    if (data === 'leave') {
      missed.delete(port);
      return;
    }
    const joins = data === 'join' || !missed.has(port); // it may have been forgotten
    missed.set(port, 0);
    if (joins) for (const message of feed.state()) port.postMessage(message);
  };
});

// Forgets tabs that ended without `leave`, such as one that crashed. A clock cannot tell a
// crash from a sleep of the computer, so missed heartbeats are counted: the tabs' timers and
// this one sleep together.
setInterval(() => {
  for (const [port, count] of missed) {
    if (count < TAB_HEARTBEATS_MISSED_MAX) missed.set(port, count + 1);
    else missed.delete(port);
  }
}, TAB_HEARTBEAT_MS);
