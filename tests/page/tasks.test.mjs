// What one user can do to the list.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WAIT_MS_MAX, add, completed, focusIs, open, row, settled, shows, text, until } from './harness/browser.mjs';
import { Proxy } from './harness/proxy.mjs';
import { Fixture } from './harness/fixture.mjs';

// Waits until the server has these tasks: a row that the page has hidden shows no sign of the
// change that is on its way.
async function serverHas(fixture, titles, ...options) {
  const deadline = Date.now() + WAIT_MS_MAX;
  for (;;) {
    const lines = (await fixture.todo('list', '--json', ...options)).trim().split('\n').filter(Boolean);
    const listed = lines.map((line) => JSON.parse(line).title);
    try {
      return assert.deepEqual(listed, titles);
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

test('a new list shows only a field, and added tasks are on the server', async (t) => {
  const fixture = await Fixture.start(t);
  const page = await open(t, fixture.url);
  await text(page, '.empty', 'No tasks. Add one above.');
  await focusIs(page, 'new-todo');
  assert.equal(await page.isVisible('.footer'), false);
  await add(page, '  Buy milk ');
  await add(page, '   ');
  await add(page, 'Water the plants');
  await shows(page, ['Buy milk', 'Water the plants']);
  assert.equal(await page.inputValue('.new-todo'), '');
  await settled(page);
  await serverHas(fixture, ['Buy milk', 'Water the plants']);
  await page.reload();
  await shows(page, ['Buy milk', 'Water the plants']);
});

test('the elements have the class names of the TodoMVC convention', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk', 'Read a book'] });
  await fixture.todo('done', '2');
  const page = await open(t, fixture.url);
  await shows(page, ['Buy milk', 'Read a book']);
  const names = [
    '.new-todo', '.main', '.main .toggle-all', '.main .todo-list', '.todo-list li .toggle',
    '.todo-list li label', '.todo-list li .destroy', '.todo-list li.completed', '.footer',
    '.footer .todo-count', '.footer .filters a.selected', '.footer .clear-completed',
  ];
  for (const name of names) assert.ok(await page.locator(name).count() > 0, name);
  await page.dblclick('.todo-list label');
  await page.waitForSelector('.todo-list li.editing .edit');
});

test('a task is completed and reopened', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk', 'Read a book'] });
  const page = await open(t, fixture.url);
  await row(page, 'Buy milk').locator('.toggle').click();
  await completed(page, ['Buy milk']);
  await text(page, '.todo-count', '1 task left');
  await settled(page);
  await serverHas(fixture, ['Buy milk'], '--completed');
  await row(page, 'Buy milk').locator('.toggle').click();
  await completed(page, []);
  await settled(page);
  await serverHas(fixture, ['Buy milk', 'Read a book'], '--open');
});

test('editing a title: Enter and leaving the field save, Escape discards, an empty title deletes', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['one', 'two', 'three'] });
  const page = await open(t, fixture.url);
  const edit = async (title, words) => {
    await row(page, title).locator('label').dblclick();
    await page.fill('.edit', words);
  };
  await edit('one', ' uno ');
  await page.press('.edit', 'Enter');
  await shows(page, ['uno', 'two', 'three']);
  await focusIs(page, 'uno: toggle');

  await edit('two', 'dos');
  await page.focus('.search');
  await shows(page, ['uno', 'dos', 'three']);

  await edit('three', 'tres');
  await page.press('.edit', 'Escape');
  await shows(page, ['uno', 'dos', 'three']);
  assert.equal(await page.locator('.edit').count(), 0);

  await edit('dos', '');
  await page.press('.edit', 'Enter');
  await shows(page, ['uno', 'three']);
  await settled(page);
  await serverHas(fixture, ['uno', 'three']);

  await row(page, 'uno').hover();
  await row(page, 'uno').locator('.edit-open').click();
  assert.equal(await page.inputValue('.edit'), 'uno');
});

test('a deleted task is restored with Undo or from the deleted tasks', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk', 'Read a book', 'Call mum'] });
  const page = await open(t, fixture.url);
  const remove = async (title) => {
    await row(page, title).hover();
    await row(page, title).locator('.destroy').click();
  };
  await remove('Read a book');
  await shows(page, ['Buy milk', 'Call mum']);
  await text(page, '.toast p', 'Deleted “\u2068Read a book\u2069”');
  await focusIs(page, 'Call mum: toggle'); // the next row
  await page.click('.toast .act');
  await shows(page, ['Buy milk', 'Read a book', 'Call mum']);
  assert.equal(await page.locator('.toast').count(), 0);

  await remove('Call mum');
  await focusIs(page, 'Read a book: toggle'); // the last row
  await remove('Buy milk');
  await remove('Read a book');
  await shows(page, []);
  await focusIs(page, 'new-todo'); // no row is left
  await page.click('.filters a[href="#/deleted"]');
  await shows(page, ['Buy milk', 'Read a book', 'Call mum']);
  assert.equal(await row(page, 'Call mum').locator('.toggle').isDisabled(), true);
  assert.equal(await page.isVisible('.toggle-all'), false);
  await row(page, 'Call mum').locator('.restore').click();
  await shows(page, ['Buy milk', 'Read a book']);
  await page.click('.filters a[href="#/"]');
  await shows(page, ['Call mum']);
  await settled(page);
  await serverHas(fixture, ['Call mum']);
});

test('a message with Undo expires, but not while the pointer or the focus is on it', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const page = await open(t, fixture.url);
  const over = () => page.evaluate(() => window.undoTimeIsOver());
  await row(page, 'Buy milk').hover();
  await row(page, 'Buy milk').locator('.destroy').click();
  await page.hover('.toast');
  assert.equal(await over(), 0);
  await page.focus('.toast .act');
  await page.mouse.move(0, 0);
  assert.equal(await over(), 0);
  await page.focus('.new-todo');
  await until(page, () => window.undoTimeIsOver(), 1);
  await page.waitForSelector('.toast', { state: 'detached' });
  await page.keyboard.press('Escape');
  await page.focus('.filters .selected');
  await page.keyboard.press('u'); // the shortcut still works
  await shows(page, ['Buy milk']);
});

test('the filter is part of the address, and the back button works', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['open', 'done', 'gone'] });
  await fixture.todo('done', '2');
  await fixture.todo('rm', '3');
  const page = await open(t, fixture.url);
  const selected = (name) => text(page, '.filters .selected', name);
  await shows(page, ['open', 'done']);
  await selected('All');
  await page.click('.filters a[href="#/active"]');
  await shows(page, ['open']);
  await selected('Active');
  await page.click('.filters a[href="#/completed"]');
  await shows(page, ['done']);
  await page.click('.filters a[href="#/deleted"]');
  await shows(page, ['gone']);
  assert.equal(new URL(page.url()).hash, '#/deleted');
  await page.goBack();
  await shows(page, ['done']);
  await selected('Completed');
  assert.equal(await page.getAttribute('.filters .selected', 'aria-current'), 'page');
  await page.goForward();
  await shows(page, ['gone']);
  await page.reload();
  await shows(page, ['gone']);
  await page.goto(`${fixture.url}/#/active`);
  await shows(page, ['open']);
});

test('all tasks are completed or reopened by one action, which can be undone', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['one', 'two', 'three'] });
  await fixture.todo('done', '2');
  const page = await open(t, fixture.url);
  await completed(page, ['two']);
  assert.equal(await page.isChecked('.toggle-all'), false);
  await page.click('.toggle-all');
  await completed(page, ['one', 'two', 'three']);
  assert.equal(await page.isChecked('.toggle-all'), true);
  await text(page, '.toast p', 'Completed 2 tasks');
  await settled(page);
  await page.click('.toast .act');
  await completed(page, ['two']);
  await settled(page);
  await page.click('.toggle-all');
  await completed(page, ['one', 'two', 'three']);
  await page.click('.toggle-all');
  await completed(page, []);
  await settled(page);
  await serverHas(fixture, ['one', 'two', 'three'], '--open');
});

test('completed tasks are cleared by one action, which can be undone', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['one', 'two', 'three'] });
  const page = await open(t, fixture.url);
  await shows(page, ['one', 'two', 'three']);
  assert.equal(await page.isVisible('.clear-completed'), false);
  await fixture.todo('done', '1', '3');
  await completed(page, ['one', 'three']);
  await text(page, '.clear-completed', 'Clear completed (2)');
  await page.click('.clear-completed');
  await shows(page, ['two']);
  await focusIs(page, 'selected'); // the button is hidden
  await settled(page);
  await serverHas(fixture, ['two']);
  await page.click('.toast .act');
  await shows(page, ['one', 'two', 'three']);
});

test('search filters while the user types, and limits actions on all tasks', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk', 'Buy MILK powder', 'Молоко и хлеб', 'Read'] });
  const page = await open(t, fixture.url);
  await page.fill('.search', 'milk');
  await shows(page, ['Buy milk', 'Buy MILK powder']);
  await text(page, '.found', '2 found');
  await page.fill('.search', 'powder buy');
  await shows(page, ['Buy MILK powder']);
  await page.click('.toggle-all');
  await completed(page, ['Buy MILK powder']);
  await page.fill('.search', 'МОЛОКО');
  await shows(page, ['Молоко и хлеб']);
  await page.fill('.search', 'nowhere');
  await text(page, '.empty', 'No tasks match “nowhere”.');
  await page.press('.search', 'Escape');
  await shows(page, ['Buy milk', 'Buy MILK powder', 'Молоко и хлеб', 'Read']);
  await completed(page, ['Buy MILK powder']);
});

test('the history of a task is shown and grows while the dialog is open', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  await fixture.todo('edit', '1', 'Buy oat milk');
  await fixture.todo('done', '1');
  const page = await open(t, fixture.url);
  await row(page, 'Buy oat milk').hover();
  await row(page, 'Buy oat milk').locator('.history-open').click();
  const told = () => [...document.querySelectorAll('.history-changes li')].map((li) => {
    return [li.querySelector('strong'), li.querySelector('span')].map((e) => e?.textContent ?? '');
  });
  const before = [['Added', 'Buy milk'], ['Changed', 'Buy oat milk'], ['Completed', '']];
  await until(page, told, before);
  await text(page, '.history-task', 'Buy oat milk');
  await fixture.todo('reopen', '1');
  await until(page, told, [...before, ['Reopened', '']]);
  await page.keyboard.press('Escape');
  await page.waitForSelector('dialog.history', { state: 'hidden' });
  await focusIs(page, 'Buy oat milk: history-open');
});

test('a dialog closes on a click beside it, not when text is selected past its edge', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const page = await open(t, fixture.url, { hasTouch: true });
  await shows(page, ['Buy milk']);
  const openers = {
    help: () => page.click('.help-open'),
    history: () => row(page, 'Buy milk').locator('.history-open').click(),
  };
  const dialogs = await page.evaluate(() => [...document.querySelectorAll('dialog')].map(({ className }) => className));
  assert.deepEqual(dialogs.sort(), Object.keys(openers).sort());
  for (const [name, opener] of Object.entries(openers)) {
    await opener();
    const dialog = page.locator(`dialog.${name}[open]`);
    const box = await dialog.locator('h2').boundingBox();
    const heading = [box.x + 4, box.y + box.height / 2];
    const outside = [3, 3];
    const drag = async (from, to) => {
      await page.mouse.move(...from);
      await page.mouse.down();
      await page.mouse.move(...to, { steps: 4 });
      await page.mouse.up();
    };
    for (const [from, to] of [[heading, outside], [outside, heading]]) {
      await drag(from, to);
      assert.equal(await dialog.count(), 1, `${name}: from ${from} to ${to}`);
    }
    await page.mouse.click(...outside);
    await page.waitForSelector(`dialog.${name}`, { state: 'hidden' });
    await opener();
    await dialog.waitFor();
    await page.touchscreen.tap(...outside);
    await page.waitForSelector(`dialog.${name}`, { state: 'hidden' });
  }
});

test('a change made while a history loads is appended to it', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const proxy = await Proxy.start(t, fixture.url);
  const page = await open(t, proxy.url);
  const held = proxy.hold('ListChanges');
  await row(page, 'Buy milk').locator('.history-open').click();
  await held.answered;
  await fixture.todo('done', '1');
  await completed(page, ['Buy milk']);
  held.release();
  const told = () => [...document.querySelectorAll('.history-changes li strong')].map((what) => what.textContent);
  await until(page, told, ['Added', 'Completed']);
});

test('a long history is loaded in pages', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['0'] });
  const repl = fixture.repl();
  for (let n = 1; n <= 230; n += 1) repl.type(`edit 1 ${n}`);
  await repl.saw('changed 1 230');
  const page = await open(t, fixture.url);
  await row(page, '230').hover();
  await row(page, '230').locator('.history-open').click();
  const count = () => document.querySelectorAll('.history-changes li').length;
  await until(page, count, 200);
  await page.click('.history-more');
  await until(page, count, 231);
  assert.equal(await page.isVisible('.history-more'), false);
});
