// Calls of the service: Connect's unary form, as JSON. A call that may not have arrived is
// made again with the same body, and so the same request id: the change happens once.
import { CALLS_AT_ONCE_MAX, CALL_TIMEOUT_MS, RETRY_MS_MAX, RETRY_MS_MIN } from './limits.js';

export class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

// Nothing is known of such a call, or that it was not executed.
const AGAIN = new Set(['unavailable', 'deadline_exceeded']);
const GATEWAY = new Set([502, 503, 504]);

// crypto.randomUUID would need a secure context, which a phone on the local network has not.
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
  #queue = []; // changes that wait for their turn
  #sleepers = new Set(); // changes that wait to be sent, again or for the first time

  // Asks once. Rejects with Refused.
  async read(method, body) {
    const answer = await attempt(method, body);
    if (answer instanceof Refused) throw answer;
    return answer;
  }

  // Resolves with the answer, or rejects with Refused. It is sent only while the stream is
  // live, since only then it is known which list is there: `check` throws if it is not the
  // one that the change was meant for.
  async change(method, body, check) {
    await this.#turn();
    try {
      for (let delay = RETRY_MS_MIN; ; delay = Math.min(2 * delay, RETRY_MS_MAX)) {
        while (!this.#live) await this.#sleep();
        check();
        const answer = await attempt(method, body);
        if (!(answer instanceof Refused)) return answer;
        if (!AGAIN.has(answer.code)) throw answer;
        await this.#sleep(delay * (0.5 + Math.random()));
      }
    } finally {
      this.#done();
    }
  }

  // Whether the stream is live. Once it is, whoever waits tries at once.
  setLive(live) {
    this.#live = live;
    if (live) for (const wake of this.#sleepers) wake();
  }

  async #turn() {
    if (this.#running >= CALLS_AT_ONCE_MAX) {
      await new Promise((go) => this.#queue.push(go)); // #done hands its place over
    } else {
      this.#running += 1;
    }
  }

  #done() {
    const next = this.#queue.shift();
    if (next) next();
    else this.#running -= 1;
  }

  // Until the stream is live, or for `ms` at most.
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
    return new Refused('unknown', `HTTP ${response.status}`); // not JSON, so not from the service
  }
  if (response.ok) return answer;
  return new Refused(answer.code ?? 'unknown', answer.message ?? `HTTP ${response.status}`);
}
