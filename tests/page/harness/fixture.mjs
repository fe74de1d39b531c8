// What a test starts and removes: a todod and a todo-web process and a data directory. The
// `todo` command acts as another user.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const root = fileURLToPath(new URL('../../..', import.meta.url));
const built = join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'release');
const tododPath = process.env.TODO_TEST_TODOD ?? join(built, 'todod');
const webPath = process.env.TODO_TEST_WEB ?? join(built, 'todo-web');
const todoPath = process.env.TODO_TEST_TODO ?? join(built, 'todo');

const START_MS_MAX = 30_000;
const run = promisify(execFile);

// A program that prints `listening on ADDRESS` once it is ready.
class Program {
  #child;
  #log = '';

  async start(path, args) {
    const child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    child.stderr.on('data', (text) => {
      this.#log += text;
    });
    const failed = once(child, 'exit').then(([code]) => {
      throw new Error(`${path} ended with ${code}: ${this.#log}`);
    });
    failed.catch(() => {}); // an exit after the start is not an error
    const late = new Promise((_, reject) => {
      setTimeout(reject, START_MS_MAX, new Error(`${path} is not ready: ${this.#log}`)).unref();
    });
    return Promise.race([listening(child.stdout), failed, late]);
  }

  async stop(signal) {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }
}

async function listening(stdout) {
  const lines = createInterface({ input: stdout });
  for await (const line of lines) {
    const found = /^listening on (.+)$/.exec(line);
    if (found) {
      stdout.resume();
      return found[1];
    }
  }
  return new Promise(() => {}); // the exit of the program is the better error
}

export class Fixture {
  #todod = new Program();
  #web = new Program();
  #clients = [];
  dir;
  server; // address of todod
  url; // of todo-web

  // Starts with these tasks, or with a copy of the data of a fixture whose server has ended.
  static async start(t, { titles = [], copyOf } = {}) {
    const fixture = new Fixture();
    fixture.dir = await mkdtemp(join(tmpdir(), 'todo-page-'));
    t.after(() => fixture.#end());
    if (copyOf) await cp(join(copyOf.dir, 'data'), join(fixture.dir, 'data'), { recursive: true });
    await fixture.startServer();
    await fixture.startWeb();
    if (titles.length > 0) await fixture.add(...titles);
    return fixture;
  }

  // Starts todod, again with the same address and data if it ran before.
  async startServer(dataDir = 'data') {
    const args = ['--listen', this.server ?? '127.0.0.1:0', '--data-dir', join(this.dir, dataDir)];
    this.server = await this.#todod.start(tododPath, args);
  }

  async startWeb() {
    const listen = this.url ? new URL(this.url).host : '127.0.0.1:0';
    this.url = await this.#web.start(webPath, ['--listen', listen, '--server', this.server]);
  }

  async killServer() {
    await this.#todod.stop('SIGKILL');
  }

  async stopWeb() {
    await this.#web.stop('SIGTERM');
  }

  // Runs `todo ARGS` and returns what it prints.
  async todo(...args) {
    const { stdout } = await run(todoPath, ['--server', this.server, ...args]);
    return stdout;
  }

  // Adds a task for each title, in order.
  async add(...titles) {
    const child = spawn(todoPath, ['--server', this.server, 'add', '-q', '-'], {
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    child.stdin.end(titles.map((title) => `${title}\n`).join(''));
    const [code] = await once(child, 'exit');
    if (code !== 0) throw new Error(`todo add: exit code ${code}`);
  }

  // Starts a REPL: type(line) enters a line, saw(text) waits until it has printed the text.
  repl() {
    const child = spawn(todoPath, ['--server', this.server], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#clients.push(child);
    const lines = createInterface({ input: child.stdout });
    const seen = [];
    lines.on('line', (line) => seen.push(line));
    return {
      type: (line) => child.stdin.write(`${line}\n`),
      async saw(text) {
        while (!seen.some((line) => line.includes(text))) {
          await once(lines, 'line', { signal: AbortSignal.timeout(START_MS_MAX) });
        }
      },
    };
  }

  async #end() {
    for (const child of this.#clients) child.kill();
    try {
      await this.#web.stop('SIGTERM');
    } finally {
      await this.#todod.stop('SIGKILL');
    }
    await rm(this.dir, { recursive: true, force: true });
  }
}
