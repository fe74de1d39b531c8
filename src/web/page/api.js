// Calls of the service, in Connect's unary form with JSON. A call that may not have arrived is
// repeated with the same body and therefore the same request id: the change happens once.
import { CALLS_AT_ONCE_MAX, CALL_TIMEOUT_MS, RETRY_MS_MAX, RETRY_MS_MIN } from './limits.js';

export class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

// The call was not executed, or its outcome is unknown.
const RETRIED = new Set(['unavailable', 'deadline_exceeded']);
const GATEWAY = new Set([502, 503, 504]);

// crypto.randomUUID needs a secure context, which a phone on the local network does not have.
const page = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join('');
let requests = 0;

export function newRequestId() {
  requests += 1;
  return `page-${page}-${requests}`;
}

export function isOwnRequest(requestId) {
  return requestId.startsWith(`page-${page}-`);
}

export class Api {
  #live = false;
  #running = 0;
  #queue = []; // changes above CALLS_AT_ONCE_MAX
  #sleepers = new Set(); // wakes the changes that wait for the stream or for a retry

  // Calls once. Rejects with Refused.
  async read(method, body) {
    const answer = await attempt(method, body);
    if (answer instanceof Refused) throw answer;
    return answer;
  }

  // Resolves with the answer, or rejects with Refused. The change is sent only while the stream
  // is live, because only then the page knows which list the server has. `check` throws if it
  // is not the list that the change was made for.
  async change(method, body, check) {
    await this.#enter();
    try {
      for (let delay = RETRY_MS_MIN; ; delay = Math.min(2 * delay, RETRY_MS_MAX)) {
        while (!this.#live) await this.#sleep();
        check();
        const answer = await attempt(method, body);
        if (!(answer instanceof Refused)) return answer;
        if (!RETRIED.has(answer.code)) throw answer;
        await this.#sleep(delay * (0.5 + Math.random()));
      }
    } finally {
      this.#leave();
    }
  }

  // While the stream is not live, changes wait. When it becomes live, they are sent immediately.
  setLive(live) {
    this.#live = live;
    if (live) for (const wake of this.#sleepers) wake();
  }

  async #enter() {
    if (this.#running >= CALLS_AT_ONCE_MAX) {
      await new Promise((go) => this.#queue.push(go)); // #leave keeps the count for it
    } else {
      this.#running += 1;
    }
  }

  #leave() {
    const next = this.#queue.shift();
    if (next) next();
    else this.#running -= 1;
  }

  // Resolves when the stream becomes live, or after `ms` if given.
  #sleep(ms) {
    return new Promise((resolve) => {
      let timer;
      const wake = () => {
        clearTimeout(timer);
        this.#sleepers.delete(wake);
        resolve();
      };
      if (ms !== undefined) timer = setTimeout(wake, ms);
      this.#sleepers.add(wake);
    });
  }
}

async function attempt(method, body) {
  let response;
  let answer;
  try {
    response = await fetch(`/todo.TodoService/${method}`, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'Connect-Protocol-Version': '1',
        'Connect-Timeout-Ms': String(CALL_TIMEOUT_MS),
      },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
    });
    answer = await response.json();
  } catch (error) {
    if (!response || response.ok || GATEWAY.has(response.status)) {
      return new Refused('unavailable', error.message);
    }
    return new Refused('unknown', `HTTP ${response.status}`); // not JSON: the answer of a proxy
  }
  if (response.ok) return answer;
  return new Refused(answer.code ?? 'unknown', answer.message ?? `HTTP ${response.status}`);
}
