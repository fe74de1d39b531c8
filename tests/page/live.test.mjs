// Several users, tabs and programs with one list.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { add, completed, connection, focusIs, open, openTab, person, row, settled, shows, text, until } from './harness/browser.mjs';
import { Proxy } from './harness/proxy.mjs';
import { Fixture } from './harness/fixture.mjs';

test('two pages and a REPL see each other\'s changes', async (t) => {
  const fixture = await Fixture.start(t);
  const [anna, boris] = [await open(t, fixture.url), await open(t, fixture.url)];
  const repl = fixture.repl();
  await add(anna, 'from Anna');
  await shows(boris, ['from Anna']);
  await settled(anna);
  repl.type('add from the REPL');
  for (const page of [anna, boris]) await shows(page, ['from Anna', 'from the REPL']);
  await row(boris, 'from Anna').locator('.toggle').click();
  await completed(anna, ['from Anna']);
  await settled(boris);
  repl.type('list');
  await repl.saw('completed  from Anna');
  repl.type('edit 2 changed in the REPL');
  for (const page of [anna, boris]) await shows(page, ['from Anna', 'changed in the REPL']);
});

test('changes by others are highlighted and announced, own changes are not', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk', 'Read a book'] });
  const page = await open(t, fixture.url);
  await page.evaluate(() => {
    window.highlighted = [];
    new MutationObserver((changes) => {
      for (const { target } of changes) {
        if (target.matches('li.changed')) window.highlighted.push(target.querySelector('label').textContent);
      }
    }).observe(document.querySelector('.todo-list'), { subtree: true, attributeFilter: ['class'] });
  });
  const highlighted = (wanted) => until(page, () => [...new Set(window.highlighted)], wanted);
  await row(page, 'Read a book').locator('.toggle').click();
  await settled(page);
  await fixture.todo('done', '1');
  await completed(page, ['Buy milk', 'Read a book']);
  await highlighted(['Buy milk']);
  await text(page, '.announcer', 'Someone else completed “\u2068Buy milk\u2069”');
  await until(page, () => document.querySelectorAll('.changed').length, 0); // the highlight ends
  await fixture.add('one', 'two', 'three');
  await highlighted(['Buy milk', 'one', 'two', 'three']);
  assert.equal(await page.getAttribute('.announcer', 'role'), 'status');
});

test('a purged task vanishes, and a late answer does not bring it back', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk', 'Read a book', 'Call mum'] });
  const proxy = await Proxy.start(t, fixture.url);
  const page = await open(t, proxy.url);
  await shows(page, ['Buy milk', 'Read a book', 'Call mum']);
  await fixture.todo('rm', '3');
  await shows(page, ['Buy milk', 'Read a book']);
  await until(page, () => document.querySelector('.announcer').textContent, 'Someone else deleted “\u2068Call mum\u2069”');
  const held = proxy.hold('DeleteTask');
  await row(page, 'Buy milk').locator('.toggle').focus();
  await page.keyboard.press('d');
  await held.answered;
  await page.keyboard.press('4');
  await shows(page, ['Buy milk', 'Call mum']);
  await settled(page); // the stream has confirmed the deletion, revision 5
  proxy.send('updates', [
    { action: 'PURGED', revision: '6', previousRevision: '5', task: { id: 1 } },
    { action: 'PURGED', revision: '7', previousRevision: '6', task: { id: 3 } },
    { action: 'UPDATED', revision: '8', previousRevision: '7', task: { id: 2, title: 'Read a paper', revision: '8' } },
  ]);
  await shows(page, []);
  await page.evaluate(() => {
    const { json } = Response.prototype;
    Response.prototype.json = async function read() {
      window.answer = await json.call(this);
      return window.answer;
    };
  });
  held.release();
  await until(page, () => window.answer?.task.title, 'Buy milk');
  await shows(page, []);
  const again = await openTab(t, page.context(), `${proxy.url}#/deleted`); // the worker has removed them, too
  await shows(again, []);
  await text(page, '.announcer', 'Someone else changed “\u2068Read a paper\u2069”'); // purges are not announced
});

test('the history of a task ends with its purge, and an unknown action is announced as a change', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const proxy = await Proxy.start(t, fixture.url);
  const page = await open(t, proxy.url);
  await row(page, 'Buy milk').locator('.history-open').click();
  await page.waitForSelector('.history-changes li');
  const task = { id: 1, title: 'Buy milk', updatedAt: '2026-01-01T00:00:00Z' };
  proxy.send('updates', [{ action: 'POLISHED', revision: '2', previousRevision: '1', task: { ...task, revision: '2' } }]);
  await text(page, '.announcer', 'Someone else changed “\u2068Buy milk\u2069”');
  proxy.send('updates', [{ action: 'PURGED', revision: '3', previousRevision: '2', task: { id: 1 } }]);
  const told = () => [...document.querySelectorAll('.history-changes li')].map((li) => {
    return [li.querySelector('strong').textContent, li.querySelector('time').textContent !== ''];
  });
  await until(page, told, [['Added', true], ['Changed', true], ['Deleted permanently', false]]);
  await shows(page, []);
});

test('the focus stays on its task, or moves to the next one, when others delete tasks', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['one', 'two', 'three'] });
  const page = await open(t, fixture.url);
  await row(page, 'two').locator('.toggle').focus();
  await fixture.todo('rm', '1');
  await shows(page, ['two', 'three']);
  await focusIs(page, 'two: toggle');
  await fixture.todo('rm', '2');
  await shows(page, ['three']);
  await focusIs(page, 'three: toggle');
});

test('a title that is being edited is not touched by changes of others', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['one', 'two'] });
  const page = await open(t, `${fixture.url}/#/active`);
  await row(page, 'two').locator('label').dblclick();
  await page.fill('.edit', 'half a sen');
  await fixture.todo('rm', '1');
  await fixture.todo('done', '2');
  await fixture.add('three');
  await shows(page, ['two', 'three']);
  assert.equal(await page.inputValue('.edit'), 'half a sen');
  await focusIs(page, 'two: edit');
  await page.press('.edit', 'Enter');
  await shows(page, ['three']); // the edited task is completed and therefore not shown
  await until(page, () => location.hash, '#/active');
});

test('the tabs of a browser share one stream, also after the first tab is closed', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const proxy = await Proxy.start(t, fixture.url);
  const context = await person(t);
  const tabs = [];
  for (let n = 0; n < 8; n += 1) tabs.push(await openTab(t, context, proxy.url)); // HTTP/1.1 would allow six
  for (const tab of tabs) await shows(tab, ['Buy milk']);
  assert.equal(proxy.eventsEver, 1);
  const [first, second, third] = tabs;
  await first.close();
  await add(second, 'Read a book');
  await shows(third, ['Buy milk', 'Read a book']);
  await until(third, () => document.querySelectorAll('.changed').length, 0);
  await fixture.add('Call mum');
  for (const tab of [second, third]) await shows(tab, ['Buy milk', 'Read a book', 'Call mum']);
  await third.reload();
  await shows(third, ['Buy milk', 'Read a book', 'Call mum']);
  assert.equal(proxy.eventsEver, 1);
  assert.equal(proxy.events, 1);
});

test('the worker forgets a tab that leaves, and sends the list when it returns', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const context = await person(t);
  const page = await openTab(t, context, fixture.url);
  const heard = () => page.evaluate(() => window.heard.splice(0).map(({ type }) => type));
  await page.evaluate(() => {
    const worker = new SharedWorker('/worker.js', { type: 'module', name: 'todo' });
    window.port = worker.port;
    window.heard = [];
    worker.port.onmessage = ({ data }) => window.heard.push(data);
    worker.port.postMessage('join');
  });
  await until(page, () => window.heard.length, 2);
  assert.deepEqual(await heard(), ['list', 'connection']);
  await fixture.add('Read a book');
  await until(page, () => window.heard.length, 1);
  assert.deepEqual(await heard(), ['changes']);
  await page.evaluate(() => window.port.postMessage('leave'));
  await fixture.add('Call mum');
  await shows(page, ['Buy milk', 'Read a book', 'Call mum']);
  assert.deepEqual(await heard(), []);
  await page.evaluate(() => window.port.postMessage('here'));
  await until(page, () => window.heard.length, 2);
  assert.deepEqual(await heard(), ['list', 'connection']);
  await page.evaluate(() => window.port.postMessage('here'));
  await fixture.add('Sleep');
  await until(page, () => window.heard.length, 1);
  assert.deepEqual(await heard(), ['changes']);
});

test('the worker forgets a tab that crashed, and no other tab when the clock jumps', async (t) => {
  const fixture = await Fixture.start(t);
  const page = await open(t, fixture.url);
  // The worker's code runs in the page, where its clock and timers can be set.
  const heard = await page.evaluate(async () => {
    const { TAB_HEARTBEAT_MS, TAB_HEARTBEATS_MISSED_MAX } = await import('/limits.js');
    let sweep;
    window.setInterval = (run, ms) => { if (ms === TAB_HEARTBEAT_MS) sweep = run; };
    await import('/worker.js');
    const hour = Date.now() + 3_600_000;
    const ports = [0, 1].map(() => ({ heard: [], postMessage({ type }) { this.heard.push(type); } }));
    for (const port of ports) {
      const event = new Event('connect');
      event.ports = [port];
      dispatchEvent(event);
      port.onmessage({ data: 'join' });
    }
    for (let n = 0; n <= TAB_HEARTBEATS_MISSED_MAX; n += 1) {
      ports[0].onmessage({ data: 'here' }); // the other one has crashed
      sweep();
    }
    Date.now = () => hour; // the computer has slept
    sweep();
    for (const port of ports) port.heard.length = 0;
    for (const port of ports) port.onmessage({ data: 'here' });
    return ports.map((port) => port.heard.length > 0); // a forgotten tab gets the list
  });
  assert.deepEqual(heard, [false, true]);
});

for (const [how, break_] of [
  ['are missing', () => { delete window.SharedWorker; }],
  ['are forbidden', () => { window.SharedWorker = class { constructor() { throw new DOMException('no', 'SecurityError'); } }; }],
  ['do not start', () => {
    const Real = window.SharedWorker;
    window.SharedWorker = class { constructor(_, options) { return new Real('/missing.js', options); } };
  }],
]) {
  test(`where shared workers ${how} the page has a stream of its own`, async (t) => {
    const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
    const proxy = await Proxy.start(t, fixture.url);
    const context = await person(t);
    await context.addInitScript(break_);
    const page = await openTab(t, context, proxy.url);
    await shows(page, ['Buy milk']);
    assert.equal(proxy.events, 1);
    await fixture.add('Read a book');
    await shows(page, ['Buy milk', 'Read a book']);
    await proxy.down();
    await connection(page, 'reconnecting');
    await proxy.up();
    await connection(page, 'live');
  });
}
