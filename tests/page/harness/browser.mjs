// The browser, and what tests look for in a page.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { chromium } from 'playwright-core';

export const WAIT_MS_MAX = 30_000;

let launched;

function browser() {
  launched ??= chromium.launch({
    executablePath: process.env.TODO_TEST_CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  return launched;
}

after(async () => {
  if (launched) await (await launched).close();
});

// How long a message with Undo stays (limits.js). On a busy machine a test may need longer to
// press Undo, so such a timer expires only when the test calls undoTimeIsOver().
const UNDO_MS = 10_000;

function holdUndoTimers(heldMs) {
  const { setTimeout, clearTimeout } = window;
  const held = new Map();
  window.setTimeout = (run, ms, ...rest) => {
    if (ms !== heldMs) return setTimeout(run, ms, ...rest);
    const timer = setTimeout(() => {}, 0);
    held.set(timer, run);
    return timer;
  };
  window.clearTimeout = (timer) => {
    held.delete(timer);
    clearTimeout(timer);
  };
  window.undoTimeIsOver = () => {
    const runs = [...held.values()];
    held.clear();
    for (const run of runs) run();
    return runs.length;
  };
}

// Returns a new browser context, which shares nothing with other tests.
export async function person(t, options = {}) {
  const context = await (await browser()).newContext({ locale: 'en-GB', ...options });
  context.setDefaultTimeout(WAIT_MS_MAX);
  await context.addInitScript(holdUndoTimers, UNDO_MS);
  t.after(() => context.close());
  return context;
}

// Opens a tab with the list. An error that the page logs fails the test at its end.
export async function openTab(t, context, url) {
  const page = await context.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    // The browser logs failed calls, which many tests cause on purpose.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
      errors.push(message.text());
    }
  });
  t.after(() => assert.deepEqual(errors, [], 'errors on the page'));
  await page.goto(url);
  await connection(page, 'live');
  return page;
}

// Opens a new browser context with one tab.
export async function open(t, url, options) {
  return openTab(t, await person(t, options), url);
}

export async function connection(page, state) {
  await page.waitForSelector(`.connection[data-state="${state}"]`);
}

// Waits until look() in the page returns the wanted value. Fails with the last value.
export async function until(page, look, wanted, arg) {
  const deadline = Date.now() + WAIT_MS_MAX;
  let got;
  for (;;) {
    got = await page.evaluate(look, arg);
    try {
      assert.deepEqual(got, wanted);
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => drawn())));
  }
}

// Waits until the page shows these titles, in this order.
export async function shows(page, titles) {
  await until(page, () => [...document.querySelectorAll('.todo-list li label')].map((l) => l.textContent), titles);
}

// Waits until the page shows these titles as completed.
export async function completed(page, titles) {
  const look = () => [...document.querySelectorAll('li.completed label')].map((l) => l.textContent);
  await until(page, look, titles);
}

export async function text(page, selector, wanted) {
  await until(page, (s) => document.querySelector(s)?.textContent.trim(), wanted, selector);
}

// Returns the row of the task with this title.
export function row(page, title) {
  return page.locator('.todo-list li').filter({ has: page.locator('label').getByText(title, { exact: true }) });
}

export async function add(page, title) {
  await page.fill('.new-todo', title);
  await page.press('.new-todo', 'Enter');
}

// Waits until the server has confirmed every change.
export async function settled(page) {
  await until(page, () => document.querySelectorAll('.pending').length, 0);
}

// Waits until the focused element is the wanted one, given as `title: class` in a row and as
// its class elsewhere.
export async function focusIs(page, wanted) {
  const look = () => {
    const { activeElement } = document;
    const title = activeElement.closest('.todo-list li')?.querySelector('label').textContent;
    const name = activeElement.className || activeElement.localName;
    return title === undefined ? name : `${title}: ${name}`;
  };
  await until(page, look, wanted);
}
