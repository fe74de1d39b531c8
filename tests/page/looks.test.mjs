// Appearance and accessibility: axe-core checks each view in both colour schemes. Screenshots
// for review are left in target/page-screenshots.
import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { add, completed, connection, open, row, settled, shows, text, until } from './harness/browser.mjs';
import { root, Fixture } from './harness/fixture.mjs';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const pictures = join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'page-screenshots');
await mkdir(pictures, { recursive: true });

const TASKS = [
  'Buy milk',
  'Water the plants and the cat',
  'Read a book',
  'Call mum about the weekend, and ask whether she still has the recipe for the plum cake',
  'Send the invoice',
];
const LONG = ['x'.repeat(1024), 'words and more words '.repeat(48).trim(), '😀'.repeat(300), 'לקנות לחם, and butter'];

async function list(page, fixture) {
  await shows(page, TASKS);
  await fixture.todo('done', '3');
  await completed(page, ['Read a book']);
  await until(page, () => document.querySelectorAll('.changed').length, 0);
}

// How to open each view.
const VIEWS = {
  empty: { titles: [], go: (page) => page.waitForSelector('.empty') },
  list: { go: list },
  'row with the pointer': {
    async go(page, fixture) {
      await list(page, fixture);
      await row(page, 'Water the plants and the cat').hover();
    },
  },
  editing: {
    async go(page, fixture) {
      await list(page, fixture);
      await row(page, 'Buy milk').locator('label').dblclick();
    },
  },
  toast: {
    async go(page, fixture) {
      await list(page, fixture);
      await page.keyboard.press('Escape');
      await page.keyboard.press('d');
      await page.waitForSelector('.toast');
    },
  },
  refused: {
    async go(page, fixture) {
      await list(page, fixture);
      await add(page, 'x'.repeat(1025));
      await page.waitForSelector('.toast.alert');
      await page.fill('.new-todo', '');
    },
  },
  completed: {
    async go(page, fixture) {
      await list(page, fixture);
      await page.click('.filters a[href="#/completed"]');
      await shows(page, ['Read a book']);
    },
  },
  deleted: {
    async go(page, fixture) {
      await fixture.todo('rm', '2', '5');
      await page.click('.filters a[href="#/deleted"]');
      await shows(page, ['Water the plants and the cat', 'Send the invoice']);
    },
  },
  search: {
    async go(page, fixture) {
      await list(page, fixture);
      await page.fill('.search', 'the');
      await text(page, '.found', '3 found');
    },
  },
  help: {
    async go(page) {
      await page.click('.help-open');
      await page.waitForSelector('dialog.help[open]');
    },
  },
  history: {
    async go(page, fixture) {
      await fixture.todo('edit', '1', 'Buy oat milk');
      await fixture.todo('done', '1');
      await row(page, 'Buy oat milk').hover();
      await row(page, 'Buy oat milk').locator('.history-open').click();
      await until(page, () => document.querySelectorAll('.history-changes li').length, 3);
    },
  },
  'long titles': { titles: LONG, go: (page) => shows(page, LONG) },
  offline: {
    async go(page, fixture) {
      await list(page, fixture);
      await fixture.killServer();
      await connection(page, 'offline');
      await row(page, 'Buy milk').locator('.toggle').click();
      await text(page, '.waiting', '1 change not sent yet');
    },
  },
};

async function check(page, name, colorScheme) {
  await page.screenshot({ path: join(pictures, `${name.replaceAll(' ', '-')}-${colorScheme}.png`), animations: 'disabled' });
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run({ resultTypes: ['violations'] }));
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('; ')}`);
  assert.deepEqual(found, [], name);
}

for (const colorScheme of ['light', 'dark']) {
  for (const [name, { titles = TASKS, go }] of Object.entries(VIEWS)) {
    test(`${name}, ${colorScheme}: axe-core finds no violation`, async (t) => {
      const fixture = await Fixture.start(t, { titles });
      const options = { colorScheme, viewport: { width: 900, height: 680 }, reducedMotion: 'reduce' };
      const page = await open(t, fixture.url, options);
      await go(page, fixture);
      await check(page, name, colorScheme);
    });
  }
}

test('the page follows the colour scheme of the system', async (t) => {
  const fixture = await Fixture.start(t);
  const page = await open(t, fixture.url, { colorScheme: 'dark' });
  const light = () => {
    const [r, g, b] = getComputedStyle(document.documentElement).backgroundColor.match(/\d+/g).map(Number);
    return r + g + b > 384;
  };
  assert.equal(await page.evaluate(light), false);
  await page.emulateMedia({ colorScheme: 'light' });
  assert.equal(await page.evaluate(light), true);
});

for (const [name, width, height, touch, locale] of [
  ['phone', 320, 640, true, 'en'],
  ['phone in Russian', 320, 640, true, 'ru'],
  ['zoomed to 400 %', 320, 256, false, 'ru'],
  ['tablet', 768, 1024, true, 'ru'],
  ['wide', 1400, 900, false, 'en'],
]) {
  test(`${name}: nothing is wider than the window, and targets have at least 24 pixels`, async (t) => {
    const fixture = await Fixture.start(t, { titles: [...TASKS, ...LONG] });
    await fixture.todo('done', '3');
    const options = { viewport: { width, height }, hasTouch: touch, isMobile: touch, locale };
    const page = await open(t, fixture.url, options);
    await shows(page, [...TASKS, ...LONG]);
    const look = () => {
      const faults = [];
      if (document.documentElement.scrollWidth > innerWidth) faults.push(`scrolls to ${document.documentElement.scrollWidth}`);
      for (const target of document.querySelectorAll('a, button, input')) {
        const { width: w, height: h, left, right } = target.getBoundingClientRect();
        if (w === 0 || getComputedStyle(target).clipPath !== 'none') continue; // hidden, or for the keyboard only
        if (Math.min(w, h) < 24) faults.push(`${target.className} is ${w} by ${h}`);
        if (left < 0 || right > innerWidth) faults.push(`${target.className} is outside`);
      }
      return faults;
    };
    assert.deepEqual(await page.evaluate(look), []);
    await check(page, name.replace(' %', ''), 'light');
    if (touch) await page.tap('.todo-list label');
    else await page.dblclick('.todo-list label');
    await page.waitForSelector('.edit');
    assert.deepEqual(await page.evaluate(look), []);
    await page.press('.edit', 'Escape');
    for (const opener of ['.help-open', '.history-open']) {
      if (!touch) await page.hover('.todo-list li');
      await page.click(opener);
      await page.waitForSelector('dialog[open]');
      assert.deepEqual(await page.evaluate(look), [], opener);
      await check(page, `${name.replace(' %', '')} ${opener.slice(1, -5)}`, 'light');
      await page.keyboard.press('Escape');
    }
  });
}

test('a focused control is not hidden behind the sticky parts', async (t) => {
  const titles = Array.from({ length: 60 }, (_, n) => `task ${n}`);
  const fixture = await Fixture.start(t, { titles });
  const page = await open(t, fixture.url, { viewport: { width: 600, height: 600 } });
  await shows(page, titles);
  await page.keyboard.press('Escape');
  const free = () => {
    const box = document.activeElement.getBoundingClientRect();
    const under = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
    return under === document.activeElement || document.activeElement.contains(under);
  };
  for (const [key, times] of [['j', 59], ['k', 59]]) {
    for (let n = 0; n < times; n += 1) {
      await page.keyboard.press(key);
      assert.equal(await page.evaluate(free), true, `${key} ${n}`);
    }
  }
});

test('nothing moves if the system asks for reduced motion', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const page = await open(t, fixture.url, { reducedMotion: 'reduce' });
  await shows(page, ['Buy milk']);
  await page.evaluate(() => {
    window.moving = [];
    for (const event of ['animationstart', 'transitionrun']) {
      document.addEventListener(event, ({ target }) => window.moving.push(`${event} ${target.className}`));
    }
  });
  await fixture.todo('done', '1');
  await page.waitForSelector('li.changed');
  const tint = () => getComputedStyle(document.querySelector('li.changed') ?? document.body).backgroundColor;
  assert.notEqual(await page.evaluate(tint), 'rgba(0, 0, 0, 0)'); // the change is still visible
  await page.hover('.todo-list li');
  await page.click('.destroy');
  await page.waitForSelector('.toast');
  await settled(page);
  assert.deepEqual(await page.evaluate(() => window.moving), []);
});
