// The page without a mouse.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { completed, focusIs, open, openTab, person, settled, shows, text, until } from './harness/browser.mjs';
import { Fixture } from './harness/fixture.mjs';

test('a whole session by keyboard alone', async (t) => {
  const fixture = await Fixture.start(t);
  const page = await open(t, fixture.url);
  const { keyboard } = page;
  const press = async (...keys) => {
    for (const key of keys) await keyboard.press(key);
  };
  for (const title of ['Buy milk', 'Read a book', 'Call mum']) {
    await keyboard.type(title);
    await press('Enter');
  }
  await shows(page, ['Buy milk', 'Read a book', 'Call mum']);
  await press('Escape'); // from the field to the list
  await focusIs(page, 'Buy milk: toggle');
  await press('j');
  await focusIs(page, 'Read a book: toggle');
  await press('ArrowDown');
  await focusIs(page, 'Call mum: toggle');
  await press('ArrowDown'); // the last one
  await focusIs(page, 'Call mum: toggle');
  await press('Home');
  await focusIs(page, 'Buy milk: toggle');
  await press('End', 'k');
  await focusIs(page, 'Read a book: toggle');
  await press('x');
  await completed(page, ['Read a book']);
  await press('Space');
  await completed(page, []);
  await press('ArrowUp', 'Space');
  await completed(page, ['Buy milk']);

  await press('e');
  await focusIs(page, 'Buy milk: edit');
  await keyboard.type('Buy oat milk');
  await press('Enter');
  await shows(page, ['Buy oat milk', 'Read a book', 'Call mum']);
  await focusIs(page, 'Buy oat milk: toggle');
  await press('F2', 'Escape', 'j', 'Enter');
  await focusIs(page, 'Read a book: edit');
  await press('Escape');
  await focusIs(page, 'Read a book: toggle');

  await press('d');
  await shows(page, ['Buy oat milk', 'Call mum']);
  await focusIs(page, 'Call mum: toggle');
  await press('Delete');
  await shows(page, ['Buy oat milk']);
  await press('u');
  await shows(page, ['Buy oat milk', 'Call mum']);
  await press('Control+z');
  await shows(page, ['Buy oat milk', 'Read a book', 'Call mum']);

  await press('/');
  await keyboard.type('mum');
  await shows(page, ['Call mum']);
  await press('Enter');
  await focusIs(page, 'Call mum: toggle');
  await press('s', 'Escape');
  await shows(page, ['Buy oat milk', 'Read a book', 'Call mum']);

  await press('h');
  await page.waitForSelector('dialog.history[open] .history-changes li');
  await press('Escape', '3');
  await shows(page, ['Buy oat milk']);
  await press('2');
  await shows(page, ['Read a book', 'Call mum']);
  await focusIs(page, 'Read a book: toggle'); // the first one, since the task that had it is not shown
  await press('d');
  await shows(page, ['Call mum']);
  await press('4');
  await shows(page, ['Read a book']);
  await focusIs(page, 'Read a book: restore');
  await press('r');
  await shows(page, []);
  await focusIs(page, 'new-todo');
  await press('Escape', 'Tab', 'Tab', 'Enter'); // past the search to the filter that is first
  await shows(page, ['Buy oat milk', 'Read a book', 'Call mum']);
  await press('1');
  await shows(page, ['Buy oat milk', 'Read a book', 'Call mum']);
  await press('n');
  await focusIs(page, 'new-todo');
  await settled(page);
});

test('what has no shortcut is reached with Tab, in the order it is read', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  await fixture.todo('done', '1');
  const page = await open(t, fixture.url);
  await completed(page, ['Buy milk']);
  await page.focus('.new-todo');
  for (const name of [
    'toggle-all', 'search', 'Buy milk: toggle', 'Buy milk: edit-open', 'Buy milk: history-open',
    'Buy milk: destroy', 'selected', 'a', 'a', 'a', 'clear-completed',
  ]) {
    await page.keyboard.press('Tab');
    await focusIs(page, name);
  }
  await page.keyboard.press('Enter');
  await shows(page, []);
  await focusIs(page, 'selected');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  await focusIs(page, 'act');
  await page.keyboard.press('Enter');
  await shows(page, ['Buy milk']);
  await focusIs(page, 'a'); // where it was before the message
});

test('no shortcut fires while one types', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const page = await open(t, fixture.url);
  const all = 'njkxedrhus1234?/';
  await page.focus('.new-todo');
  await page.keyboard.type(all);
  assert.equal(await page.inputValue('.new-todo'), all);
  await page.focus('.search');
  await page.keyboard.type(all);
  assert.equal(await page.inputValue('.search'), all);
  await page.keyboard.press('Escape');
  await focusIs(page, 'Buy milk: toggle');
  await page.keyboard.press('e');
  await page.keyboard.type(all);
  assert.equal(await page.inputValue('.edit'), all);
  await page.keyboard.press('Escape');
  await shows(page, ['Buy milk']);
  assert.equal(await page.locator('dialog[open]').count(), 0);
  assert.equal(new URL(page.url()).hash, '');
});

test('shortcuts of a task do nothing while something else has the focus', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const page = await open(t, fixture.url);
  await page.keyboard.press('Escape');
  await focusIs(page, 'Buy milk: toggle');
  await page.focus('.filters .selected');
  for (const key of ['d', 'x', 'e', 'Delete']) await page.keyboard.press(key);
  await page.keyboard.press('?');
  await page.waitForSelector('dialog.help[open]');
  for (const key of ['d', 'x', '4', 'n']) await page.keyboard.press(key);
  await page.keyboard.press('Escape');
  await shows(page, ['Buy milk']);
  await completed(page, []);
  await focusIs(page, 'selected');
});

test('the help shows every shortcut of the table', async (t) => {
  const fixture = await Fixture.start(t);
  const page = await open(t, fixture.url);
  await page.click('.help-open');
  const missing = async () => {
    const { SHORTCUTS } = await import('/keys.js');
    const wanted = SHORTCUTS.flatMap(({ keys = [], onRow = [], native = [] }) => [...keys, ...onRow, ...native]);
    const shown = document.querySelectorAll('dialog.help kbd').length;
    const rows = document.querySelectorAll('dialog.help tbody tr').length;
    return [wanted.length - shown, SHORTCUTS.length - rows];
  };
  await until(page, missing, [0, 0]);
  await page.click('dialog.help .close');
  await page.waitForSelector('dialog.help', { state: 'hidden' });
  await focusIs(page, 'help-open');
});

test('single keys can be switched off, which is remembered; the others stay', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk', 'Read a book'] });
  const context = await person(t);
  const page = await openTab(t, context, fixture.url);
  await page.click('.help-open');
  await page.click('.single-keys');
  await page.waitForSelector('kbd.off');
  await page.keyboard.press('Escape');
  const again = await openTab(t, context, fixture.url);
  for (const tab of [page, again]) {
    await tab.focus('.new-todo');
    await tab.keyboard.press('Escape');
    await focusIs(tab, 'Buy milk: toggle');
    for (const key of ['j', 'd', 'x', '?', '4']) await tab.keyboard.press(key);
    assert.equal(await tab.locator('dialog[open]').count(), 0);
    await focusIs(tab, 'Buy milk: toggle');
    await tab.keyboard.press('ArrowDown');
    await focusIs(tab, 'Read a book: toggle');
  }
  await again.keyboard.press('Delete');
  await shows(again, ['Buy milk']);
  await again.keyboard.press('Control+z');
  await shows(again, ['Buy milk', 'Read a book']);
});

test('on a Russian keyboard the same keys do the same', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk', 'Read a book'] });
  const page = await open(t, fixture.url);
  await page.keyboard.press('Escape');
  await focusIs(page, 'Buy milk: toggle');
  const press = (key, code) => page.evaluate(([k, c]) => {
    document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: k, code: c, bubbles: true, cancelable: true }));
  }, [key, code]);
  await press('о', 'KeyJ');
  await focusIs(page, 'Read a book: toggle');
  await press('ч', 'KeyX');
  await completed(page, ['Read a book']);
  await press('в', 'KeyD');
  await shows(page, ['Buy milk']);
  await text(page, '.toast p', 'Deleted “\u2068Read a book\u2069”');
});

test('Escape leaves the field for a new task, also where there is no task to go to', async (t) => {
  const fixture = await Fixture.start(t);
  const page = await open(t, fixture.url);
  await page.focus('.new-todo');
  await page.keyboard.press('Escape');
  await page.keyboard.press('?');
  await page.waitForSelector('dialog.help[open]');
});
