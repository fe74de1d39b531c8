// A proxy before todo-web that counts streams and injects faults.
import { once } from 'node:events';
import http from 'node:http';
import { Transform } from 'node:stream';

export class Proxy {
  eventsEver = 0; // streams that were ever opened
  #rules = [];
  #swallow = false;
  #streams = new Set(); // responses that are open streams
  #muted = 0; // how often mute() was called
  #sockets = new Set();
  #server;
  #target;
  #port;

  static async start(t, target) {
    const proxy = new Proxy();
    proxy.#target = new URL(target);
    await proxy.up();
    t.after(() => proxy.down());
    return proxy;
  }

  // How many streams are open.
  get events() {
    return this.#streams.size;
  }

  get url() {
    return `http://127.0.0.1:${this.#port}/`;
  }

  async up() {
    this.#server = http.createServer((request, response) => this.#serve(request, response));
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#server.listen(this.#port ?? 0, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = this.#server.address().port;
  }

  // Breaks every connection and refuses new ones.
  async down() {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  // Holds the answer to the next call of the method until release(). `answered` resolves when
  // the server has answered.
  hold(method) {
    let release;
    const released = new Promise((resolve) => {
      release = resolve;
    });
    const rule = this.#rule(method, async (upstream) => {
      await upstream.complete;
      rule.answer();
      await released;
    });
    const answered = new Promise((resolve) => {
      rule.answer = resolve;
    });
    return { answered, release };
  }

  // Executes the next call of the method, but loses the answer.
  lose(method) {
    this.#rule(method, async (upstream, response) => {
      await upstream.complete;
      response.destroy();
    });
  }

  // Refuses the next call of the method, which does not reach the server.
  refuse(method, status, answer) {
    this.#rule(method, undefined, (response) => {
      response.writeHead(status, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify(answer));
    });
  }

  // Keeps open streams open without passing anything on, as after a sleep of the computer.
  mute() {
    this.#muted += 1;
  }

  // Removes the next change from the stream.
  swallow() {
    this.#swallow = true;
  }

  // Sends an event of the test to every open stream.
  send(event, content) {
    for (const stream of this.#streams) stream.write(`event: ${event}\ndata: ${JSON.stringify(content)}\n\n`);
  }

  #rule(method, before, instead) {
    const rule = { path: `/todo.TodoService/${method}`, before, instead };
    this.#rules.push(rule);
    return rule;
  }

  #serve(request, response) {
    const { pathname } = new URL(request.url, this.#target);
    const at = this.#rules.findIndex(({ path }) => path === pathname);
    const [rule] = at < 0 ? [] : this.#rules.splice(at, 1);
    if (pathname === '/events') {
      this.#streams.add(response);
      this.eventsEver += 1;
      response.once('close', () => this.#streams.delete(response));
    }
    if (rule?.instead) return rule.instead(response);
    this.#pass(request, response, rule?.before);
  }

  #pass(request, response, before) {
    const { hostname, port } = this.#target;
    const { method, url: path, headers } = request;
    const onward = http.request({ hostname, port, method, path, headers }, async (upstream) => {
      if (before) await before({ complete: complete(upstream) }, response);
      if (response.destroyed) return;
      response.writeHead(upstream.statusCode, upstream.headers);
      if (before) response.end(await complete(upstream));
      else upstream.pipe(this.#sieve()).pipe(response);
    });
    onward.once('error', () => response.destroy());
    response.once('close', () => onward.destroy());
    request.pipe(onward);
  }

  // Each event arrives in a chunk of its own.
  #sieve() {
    const muted = this.#muted;
    return new Transform({
      transform: (chunk, _, pass) => {
        const swallowed = this.#swallow && chunk.includes('event: updates');
        if (swallowed) this.#swallow = false;
        pass(null, swallowed || this.#muted > muted ? undefined : chunk);
      },
    });
  }
}

const bodies = new WeakMap();

// Reads the whole body, once.
function complete(upstream) {
  if (!bodies.has(upstream)) {
    bodies.set(upstream, (async () => {
      const parts = [];
      for await (const part of upstream) parts.push(part);
      return Buffer.concat(parts);
    })());
  }
  return bodies.get(upstream);
}
