// The page by keyboard alone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { completed, focusIs, open, openTab, person, row, settled, shows, text, until } from './harness/browser.mjs';
import { Fixture } from './harness/fixture.mjs';

test('every action has a shortcut', async (t) => {
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
  await press('ArrowDown'); // the last row stays focused
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
  await focusIs(page, 'Read a book: toggle'); // the first row, because the focused task is not shown
  await press('d');
  await shows(page, ['Call mum']);
  await press('4');
  await shows(page, ['Read a book']);
  await focusIs(page, 'Read a book: restore');
  await press('r');
  await shows(page, []);
  await focusIs(page, 'new-todo');
  await press('Escape', 'Tab', 'Tab', 'Enter'); // past the search to the first filter
  await shows(page, ['Buy oat milk', 'Read a book', 'Call mum']);
  await press('1');
  await shows(page, ['Buy oat milk', 'Read a book', 'Call mum']);
  await press('n');
  await focusIs(page, 'new-todo');
  await settled(page);
});

test('Tab reaches every control, in reading order', async (t) => {
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
  await focusIs(page, 'a'); // the focus returns to where it was
});

// Presses the key and holds it until it has repeated a few times.
async function hold(page, key) {
  for (let n = 0; n < 4; n += 1) await page.keyboard.down(key); // from the second on, a repeat
  await page.keyboard.up(key);
}

test('a held key makes one change, and movement repeats', async (t) => {
  const titles = ['one', 'two', 'three', 'four', 'five', 'six'];
  const fixture = await Fixture.start(t, { titles });
  const page = await open(t, fixture.url);
  await shows(page, titles);
  await page.keyboard.press('Escape');
  await focusIs(page, 'one: toggle');
  await hold(page, 'd');
  await shows(page, titles.slice(1));
  await focusIs(page, 'two: toggle');
  await hold(page, 'Delete');
  await shows(page, titles.slice(2));
  await hold(page, 'u');
  await shows(page, titles.slice(1));
  await page.keyboard.down('Control');
  await hold(page, 'z');
  await page.keyboard.up('Control');
  await shows(page, titles);
  await focusIs(page, 'three: toggle');
  for (const key of ['x', 'Space']) {
    await page.keyboard.press('Home');
    await hold(page, key);
    await completed(page, key === 'x' ? ['one'] : []);
  }
  await hold(page, 'j');
  await focusIs(page, 'five: toggle');
  await hold(page, 'ArrowUp');
  await focusIs(page, 'one: toggle');
});

test('a held key does not act on the control that its first press has focused', async (t) => {
  const titles = ['one', 'two', 'three'];
  const fixture = await Fixture.start(t, { titles });
  const page = await open(t, fixture.url);
  await shows(page, titles);
  await page.keyboard.press('Escape');
  for (const [key, field] of [['n', 'new-todo'], ['/', 'search'], ['s', 'search']]) {
    await hold(page, key);
    await focusIs(page, field);
    assert.equal(await page.inputValue(`.${field}`), '', key);
    await page.keyboard.press('Escape');
    await focusIs(page, 'one: toggle');
  }
  for (const key of ['e', 'F2', 'Enter']) {
    await hold(page, key);
    await focusIs(page, 'one: edit');
    assert.equal(await page.inputValue('.edit'), 'one', key);
    await hold(page, 'Enter');
    await focusIs(page, 'one: toggle');
  }
  await row(page, 'two').locator('.history-open').focus();
  await hold(page, 'Enter');
  await page.waitForSelector('dialog.history[open]');
  await page.keyboard.press('Escape');
  await row(page, 'one').locator('.destroy').focus();
  await hold(page, 'Enter');
  await shows(page, ['two', 'three']);
  await page.focus('.toast .act');
  await hold(page, 'Enter');
  await shows(page, titles);
  for (const title of ['two', 'three']) {
    await row(page, title).locator('.toggle').focus();
    await page.keyboard.press('d');
  }
  await page.keyboard.press('4');
  await shows(page, ['two', 'three']);
  await page.keyboard.press('Escape');
  await row(page, 'two').locator('.restore').focus();
  await hold(page, 'Enter');
  await shows(page, ['three']);
  await page.focus('.new-todo');
  await page.keyboard.type('x');
  await hold(page, 'y');
  assert.equal(await page.inputValue('.new-todo'), 'xyyyy'); // text repeats
});

for (const [order, keydown] of [
  ['the order of the standard, keydown before compositionend', { isComposing: true }],
  ['the order of Safari, keydown after compositionend', { keyCode: 229 }],
]) {
  test(`Enter and Escape of an input method do nothing else: ${order}`, async (t) => {
    const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
    const page = await open(t, fixture.url);
    await shows(page, ['Buy milk']);
    const compose = (field, key) => page.evaluate(([selector, pressed, init]) => {
      const target = document.querySelector(selector);
      const fire = (type, more) => target.dispatchEvent(new type(more.name, { bubbles: true, cancelable: true, ...more }));
      fire(CompositionEvent, { name: 'compositionstart' });
      target.value = 'にほn';
      fire(InputEvent, { name: 'input', isComposing: true });
      if (init.keyCode) fire(CompositionEvent, { name: 'compositionend' });
      fire(KeyboardEvent, { name: 'keydown', key: pressed, code: pressed, ...init });
      if (init.isComposing) fire(CompositionEvent, { name: 'compositionend' });
    }, [field, key, keydown]);
    for (const key of ['Enter', 'Escape']) {
      await page.focus('.new-todo');
      await compose('.new-todo', key);
      await focusIs(page, 'new-todo');
      assert.equal(await page.inputValue('.new-todo'), 'にほn');
      await page.fill('.new-todo', '');

      await page.focus('.search');
      await compose('.search', key);
      await focusIs(page, 'search');
      assert.equal(await page.inputValue('.search'), 'にほn');
      await page.fill('.search', '');
      await shows(page, ['Buy milk']);

      await row(page, 'Buy milk').locator('label').dblclick();
      await compose('.edit', key);
      await focusIs(page, 'Buy milk: edit');
      assert.equal(await page.inputValue('.edit'), 'にほn');
      await page.keyboard.press('Escape');
      await focusIs(page, 'Buy milk: toggle');
    }
    await page.fill('.new-todo', '日本');
    await page.press('.new-todo', 'Enter'); // a plain Enter still adds
    await shows(page, ['Buy milk', '日本']);
  });
}

test('shortcuts are off while the user types in a field', async (t) => {
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

test('task shortcuts do nothing while a link or a dialog has the focus', async (t) => {
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

test('the help lists every shortcut', async (t) => {
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

test('single-key shortcuts can be switched off for good, and the others stay on', async (t) => {
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

test('on a Russian keyboard the shortcuts are at the same positions', async (t) => {
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

test('Escape leaves the field for a new task even if there is no task', async (t) => {
  const fixture = await Fixture.start(t);
  const page = await open(t, fixture.url);
  await page.focus('.new-todo');
  await page.keyboard.press('Escape');
  await page.keyboard.press('?');
  await page.waitForSelector('dialog.help[open]');
});
