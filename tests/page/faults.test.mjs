// What the page does when the server goes away, refuses, or answers late or not at all.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { add, completed, connection, open, openTab, person, row, settled, shows, text, until, WAIT_MS_MAX } from './harness/browser.mjs';
import { Proxy } from './harness/proxy.mjs';
import { Fixture } from './harness/fixture.mjs';

const offline = /^Offline since \d\d:\d\d$/;

async function saysOffline(page) {
  await connection(page, 'offline');
  assert.match((await page.textContent('.connection-state')).trim(), offline);
}

test('the server is killed and comes back under an open page, with changes in between', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['one', 'two', 'three'] });
  const page = await open(t, fixture.url);
  await shows(page, ['one', 'two', 'three']);
  await fixture.killServer();
  await saysOffline(page);
  await shows(page, ['one', 'two', 'three']); // it keeps what it shows
  await add(page, 'written while offline');
  await row(page, 'one').locator('.toggle').click();
  await completed(page, ['one']);
  await text(page, '.waiting', '2 changes wait to be sent');

  // Others are faster than the page: they use the server before the edge can.
  const edge = fixture.url;
  await fixture.stopWeb();
  await fixture.startServer();
  await fixture.add('by others meanwhile');
  await fixture.todo('rm', '2');
  await fixture.startWeb();
  assert.equal(fixture.url, edge);

  await connection(page, 'live');
  await settled(page);
  await shows(page, ['one', 'three', 'by others meanwhile', 'written while offline']);
  await completed(page, ['one']);
  await text(page, '.waiting', '');
  const listed = await fixture.todo('list');
  for (const line of ['completed  one', 'open       written while offline']) assert.ok(listed.includes(line), listed);
});

test('the server alone is killed and restarted, and the page goes on by itself', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['one'] });
  const page = await open(t, fixture.url);
  for (const title of ['two', 'three']) {
    await fixture.killServer();
    await saysOffline(page);
    await fixture.startServer();
    await connection(page, 'live');
    await fixture.add(title);
  }
  await shows(page, ['one', 'two', 'three']);
  await until(page, () => document.querySelector('.connection-state').textContent, 'Live');
});

test('a lost stream is resumed: reconnecting at first, offline if it lasts, nothing lost', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['one'] });
  const proxy = await Proxy.start(t, fixture.url);
  const page = await open(t, proxy.url);
  await proxy.down();
  await connection(page, 'reconnecting');
  await text(page, '.connection-state', 'Reconnecting…');
  await saysOffline(page);
  await fixture.add('two', 'three');
  await fixture.todo('done', '1');
  await proxy.up();
  await connection(page, 'live');
  await shows(page, ['one', 'two', 'three']);
  await completed(page, ['one']);
  await text(page, '.announcer', '3 changes by others'); // resumed: no snapshot would tell
});

test('a change that got lost in the stream is noticed with the next one', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['one', 'two'] });
  const proxy = await Proxy.start(t, fixture.url);
  const page = await open(t, proxy.url);
  await shows(page, ['one', 'two']);
  proxy.swallow();
  await fixture.todo('done', '1');
  await fixture.todo('done', '2');
  await completed(page, ['one', 'two']);
  await connection(page, 'live');
  assert.equal(proxy.eventsEver, 2); // it began anew, with a snapshot
});

test('another list in the place of the old one is shown, and gets no change meant for the old', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['old one', 'old two'] });
  const page = await open(t, fixture.url);
  await fixture.killServer();
  await saysOffline(page);
  await row(page, 'old one').locator('.toggle').click();
  await fixture.stopWeb();
  await fixture.startServer('another');
  await fixture.add('new one');
  await fixture.startWeb();
  await connection(page, 'live');
  await shows(page, ['new one']);
  await text(page, '.toast.alert p', '“\u2068old one\u2069” was not completed: the list was replaced by another one');
  await completed(page, []);
  assert.ok((await fixture.todo('list')).includes('open       new one'));
});

test('a change that is refused is rolled back, with a message', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const proxy = await Proxy.start(t, fixture.url);
  const page = await open(t, proxy.url);
  const refuse = (method) => proxy.refuse(method, 429, { code: 'resource_exhausted', message: 'no room' });
  const says = (words) => text(page, '.toast.alert:last-child p', words);
  refuse('CompleteTask');
  await row(page, 'Buy milk').locator('.toggle').click();
  await says('“\u2068Buy milk\u2069” was not completed: the server is full (no room)');
  await completed(page, []);
  assert.equal(await row(page, 'Buy milk').locator('.toggle').isChecked(), false);
  refuse('DeleteTask');
  await row(page, 'Buy milk').hover();
  await row(page, 'Buy milk').locator('.destroy').click();
  await says('“\u2068Buy milk\u2069” was not deleted: the server is full (no room)');
  await shows(page, ['Buy milk']);
  refuse('AddTask');
  await add(page, 'One too many');
  await says('“\u2068One too many\u2069” was not added: the server is full (no room)');
  await shows(page, ['Buy milk']);
  assert.equal(await page.inputValue('.new-todo'), 'One too many'); // nobody writes it twice
});

test('every change is shown before the server has answered, and arrives in the end', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk', 'Call mum', 'Sleep'] });
  const proxy = await Proxy.start(t, fixture.url);
  const page = await open(t, proxy.url);
  await proxy.down(); // nothing comes from the server at all
  await add(page, 'Read a book');
  await row(page, 'Read a book').locator('.toggle').click(); // it has no id yet
  await completed(page, ['Read a book']);
  await row(page, 'Read a book').locator('.toggle').click();
  await completed(page, []);
  await row(page, 'Buy milk').locator('label').dblclick();
  await page.fill('.edit', 'Buy oat milk');
  await page.press('.edit', 'Enter');
  await shows(page, ['Buy oat milk', 'Call mum', 'Sleep', 'Read a book']);
  for (const title of ['Call mum', 'Sleep']) {
    await row(page, title).hover();
    await row(page, title).locator('.destroy').click();
  }
  await shows(page, ['Buy oat milk', 'Read a book']);
  await page.click('.toast:last-child .act');
  await shows(page, ['Buy oat milk', 'Sleep', 'Read a book']);
  await row(page, 'Sleep').locator('.toggle').click();
  await completed(page, ['Sleep']);
  await connection(page, 'offline');
  await text(page, '.waiting', '8 changes wait to be sent');

  await proxy.up();
  await settled(page);
  await shows(page, ['Buy oat milk', 'Sleep', 'Read a book']);
  await completed(page, ['Sleep']);
  const stored = (await fixture.todo('list')).trim().split('\n').slice(1).map((line) => line.trim().replace(/ +/g, ' '));
  assert.deepEqual(stored, ['1 open Buy oat milk', '3 completed Sleep', '4 open Read a book']);
});

test('an answer that is lost is asked for again, and the change happens once', async (t) => {
  const fixture = await Fixture.start(t);
  const proxy = await Proxy.start(t, fixture.url);
  const page = await open(t, proxy.url);
  proxy.lose('AddTask');
  await add(page, 'Buy milk');
  await add(page, 'Read a book');
  await settled(page);
  await shows(page, ['Buy milk', 'Read a book']);
  assert.equal((await fixture.todo('history')).match(/ADDED/g).length, 2);
});

test('an answer that comes late does not overwrite what is newer', async (t) => {
  const fixture = await Fixture.start(t, { titles: Array.from({ length: 8 }, (_, n) => `task ${n}`) });
  const proxy = await Proxy.start(t, fixture.url);
  const page = await open(t, proxy.url);
  // The answer has revision 9, the change that overtakes it 10: as text 10 is the smaller one.
  const held = proxy.hold('CompleteTask');
  await row(page, 'task 0').locator('.toggle').click();
  await held.answered;
  await fixture.todo('edit', '1', 'newer');
  await until(page, () => document.querySelector('.todo-list label').textContent, 'newer');
  held.release();
  await page.waitForResponse((response) => response.url().endsWith('/CompleteTask'));
  await add(page, 'and on'); // after it the answer has been worked in
  await settled(page);
  await until(page, () => document.querySelector('.todo-list label').textContent, 'newer');
  await completed(page, ['newer']);
  assert.ok((await fixture.todo('history')).includes('10'));
});

test('two people edit one title: nobody is overwritten unseen', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const page = await open(t, fixture.url);
  await row(page, 'Buy milk').locator('label').dblclick();
  await page.fill('.edit', 'Buy oat milk');
  await fixture.todo('edit', '1', 'Buy soy milk');
  await text(page, '.announcer', 'Others changed “\u2068Buy soy milk\u2069”');
  await page.press('.edit', 'Enter');
  await shows(page, ['Buy soy milk']);
  await text(page, '.toast.alert p', 'Somebody else changed “\u2068Buy milk\u2069” while you were editing it.');
  await page.click('.toast .act');
  await shows(page, ['Buy oat milk']);
  await settled(page);
  assert.ok((await fixture.todo('list')).includes('Buy oat milk'));
});

test('an edit that waits behind another change overwrites nobody, either', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const proxy = await Proxy.start(t, fixture.url);
  const page = await open(t, proxy.url);
  const held = proxy.hold('CompleteTask');
  await row(page, 'Buy milk').locator('.toggle').click();
  await held.answered;
  await row(page, 'Buy milk').locator('label').dblclick();
  await page.fill('.edit', 'Buy oat milk');
  await page.press('.edit', 'Enter');
  await shows(page, ['Buy oat milk']);
  await fixture.todo('edit', '1', 'Buy soy milk');
  await text(page, '.announcer', 'Others changed “\u2068Buy soy milk\u2069”');
  held.release();
  await text(page, '.toast.alert p', 'Somebody else changed “\u2068Buy milk\u2069” while you were editing it.');
  await shows(page, ['Buy soy milk']);
});

test('a task that others deleted is not restored by the key that ends its edit', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk', 'Sweep'] });
  const page = await open(t, fixture.url);
  await row(page, 'Buy milk').locator('label').dblclick();
  await page.fill('.edit', 'Buy oat milk');
  await fixture.todo('rm', '1');
  await text(page, '.announcer', 'Others deleted “\u2068Buy milk\u2069”');
  await page.press('.edit', 'Enter');
  await page.waitForSelector('.toast.alert');
  await settled(page);
  assert.ok((await fixture.todo('list', '--deleted')).includes('Buy milk'));
  await shows(page, ['Sweep']);
});

test('a text that was written for a list that is gone is told, and the next can be edited', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['old one', 'old two'] });
  const page = await open(t, fixture.url);
  await row(page, 'old two').locator('label').dblclick();
  await page.fill('.edit', 'what I wrote');
  await fixture.killServer();
  await fixture.stopWeb();
  await fixture.startServer('another');
  await fixture.add('new one');
  await fixture.startWeb();
  await shows(page, ['new one']);
  await text(page, '.toast.alert p', '“\u2068what I wrote\u2069” was not changed: the list was replaced by another one');
  await row(page, 'new one').locator('label').dblclick();
  await page.fill('.edit', 'new two');
  await page.press('.edit', 'Enter');
  await shows(page, ['new two']);
});

test('a page that hears nothing for long opens its stream anew', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const proxy = await Proxy.start(t, fixture.url);
  const context = await person(t);
  // Its timers are the page's own then.
  await context.addInitScript(() => { delete window.SharedWorker; });
  const page = await context.newPage();
  await page.clock.install();
  await page.goto(proxy.url);
  await connection(page, 'live');
  assert.equal(proxy.eventsEver, 1);
  await page.clock.runFor(41_000);
  const deadline = Date.now() + WAIT_MS_MAX;
  while (proxy.eventsEver < 2) {
    assert.ok(Date.now() < deadline, 'it is not opened');
    await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => drawn())));
  }
  await connection(page, 'live');
  assert.equal(proxy.events, 1, 'the old one is closed');
});

// The clock of the shared worker, which Playwright does not reach, through the debugger.
async function evaluateInWorker(t, page, expression) {
  const session = await page.context().browser().newBrowserCDPSession();
  t.after(() => session.detach());
  const { targetInfos } = await session.send('Target.getTargets', { filter: [{ type: 'shared_worker' }] });
  const url = new URL('/worker.js', page.url()).href;
  const { targetId } = targetInfos.find((target) => target.url === url);
  const { sessionId } = await session.send('Target.attachToTarget', { targetId, flatten: false });
  const answered = new Promise((resolve) => {
    session.on('Target.receivedMessageFromTarget', ({ message }) => resolve(JSON.parse(message)));
  });
  const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } });
  await session.send('Target.sendMessageToTarget', { sessionId, message });
  const { result } = await answered;
  assert.equal(result?.exceptionDetails, undefined);
}

// A stream that is dead without being closed. The clock jumps instead of the computer sleeping.
test('after a sleep of the computer, the page replaces the dead stream and shows what it missed', async (t) => {
  for (const how of ['the shared worker', 'a feed in the page']) {
    const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
    const proxy = await Proxy.start(t, fixture.url);
    const context = await person(t);
    if (how === 'a feed in the page') await context.addInitScript(() => { delete window.SharedWorker; });
    const page = await openTab(t, context, proxy.url);
    await shows(page, ['Buy milk']);
    for (const hours of [1, -1]) {
      proxy.mute();
      await fixture.add(`missed ${hours}`);
      const jump = `{ const now = Date.now; Date.now = () => now() + ${hours * 3_600_000}; }`;
      const jumped = performance.now();
      if (how === 'the shared worker') await evaluateInWorker(t, page, jump);
      else await page.evaluate(jump);
      await shows(page, ['Buy milk', ...['missed 1', 'missed -1'].slice(0, hours === 1 ? 1 : 2)]);
      t.diagnostic(`${how}: ${Math.round(performance.now() - jumped)} ms`);
      await connection(page, 'live');
      assert.equal(proxy.events, 1, 'the old stream is closed');
    }
    await context.close();
  }
});

test('a tab that was frozen is up to date when it is shown again', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const context = await person(t);
  await context.addInitScript(() => {
    const Real = window.SharedWorker;
    window.SharedWorker = class extends Real {
      constructor(...args) {
        super(...args);
        window.worker = this;
      }
    };
  });
  const page = await openTab(t, context, fixture.url);
  const other = await openTab(t, context, fixture.url);
  await shows(page, ['Buy milk']);
  await page.evaluate(() => window.worker.port.postMessage('leave')); // the worker has forgotten it
  await fixture.add('Read a book');
  await shows(other, ['Buy milk', 'Read a book']);
  await shows(page, ['Buy milk']);
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await shows(page, ['Buy milk', 'Read a book']);
});

test('when the network is back, the page does not wait to reopen the stream', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const proxy = await Proxy.start(t, fixture.url);
  const context = await person(t);
  await context.addInitScript(() => { delete window.SharedWorker; });
  const page = await openTab(t, context, proxy.url);
  proxy.mute();
  await fixture.add('Read a book');
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await shows(page, ['Buy milk', 'Read a book']);
  await connection(page, 'live');
});

test('a title can be edited while others complete the task, even if that is not known yet', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const proxy = await Proxy.start(t, fixture.url);
  const page = await open(t, proxy.url);
  await row(page, 'Buy milk').locator('label').dblclick();
  await page.fill('.edit', 'Buy oat milk');
  proxy.refuse('UpdateTask', 409, { code: 'aborted', message: 'another revision' });
  await page.press('.edit', 'Enter');
  await shows(page, ['Buy oat milk']);
  await settled(page);
  await shows(page, ['Buy oat milk']);
  assert.equal(await page.locator('.toast').count(), 0);
});

test('whoever closes the page while changes wait is asked', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const page = await open(t, fixture.url);
  await fixture.killServer();
  await saysOffline(page);
  await row(page, 'Buy milk').locator('.toggle').click();
  await completed(page, ['Buy milk']);
  const asked = page.waitForEvent('dialog');
  const closing = page.close({ runBeforeUnload: true });
  const dialog = await asked;
  assert.equal(dialog.type(), 'beforeunload');
  await dialog.accept();
  await closing;
});
