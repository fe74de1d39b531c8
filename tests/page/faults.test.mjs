// The page while the server is unreachable, refuses, or answers late or never.
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

test('changes made by the page and by others while the server is down are merged', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['one', 'two', 'three'] });
  const page = await open(t, fixture.url);
  await shows(page, ['one', 'two', 'three']);
  await fixture.killServer();
  await saysOffline(page);
  await shows(page, ['one', 'two', 'three']); // the list stays visible
  await add(page, 'written while offline');
  await row(page, 'one').locator('.toggle').click();
  await completed(page, ['one']);
  await text(page, '.waiting', '2 changes not sent yet');

  // Others reach the server before the page does.
  const { url } = fixture;
  await fixture.stopWeb();
  await fixture.startServer();
  await fixture.add('by others');
  await fixture.todo('rm', '2');
  await fixture.startWeb();
  assert.equal(fixture.url, url);

  await connection(page, 'live');
  await settled(page);
  await shows(page, ['one', 'three', 'by others', 'written while offline']);
  await completed(page, ['one']);
  await text(page, '.waiting', '');
  const listed = await fixture.todo('list');
  for (const line of ['completed  one', 'open       written while offline']) assert.ok(listed.includes(line), listed);
});

test('the page reconnects by itself each time the server restarts', async (t) => {
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

test('a lost stream shows Reconnecting, then Offline, and resumes without loss', async (t) => {
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
  await text(page, '.announcer', '3 changes by others'); // resumed: a snapshot announces nothing
});

test('a change missing from the stream is noticed with the next one', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['one', 'two'] });
  const proxy = await Proxy.start(t, fixture.url);
  const page = await open(t, proxy.url);
  await shows(page, ['one', 'two']);
  proxy.swallow();
  await fixture.todo('done', '1');
  await fixture.todo('done', '2');
  await completed(page, ['one', 'two']);
  await connection(page, 'live');
  assert.equal(proxy.eventsEver, 2); // reopened, with a snapshot
});

test('an update is next, a duplicate or a gap by its previous revision', async (t) => {
  const fixture = await Fixture.start(t);
  const page = await open(t, fixture.url);
  const cases = [
    // position, previousRevision, revision
    [5, '5', '6', 'next'],
    [5, '3', '9', 'next'], // changes that do not concern the stream lie in between
    [5, '5', '1000', 'next'],
    [5, undefined, '6', 'next'], // absent is 0
    [0, undefined, '1', 'next'],
    [9, '9', '10', 'next'], // as text 10 is smaller than 9
    [5, '6', '7', 'gap'],
    [0, '1', '2', 'gap'],
    [9, '10', '11', 'gap'],
    [5, '4', '5', 'duplicate'],
    [5, '1', '2', 'duplicate'],
    [10, '8', '9', 'duplicate'],
    [5, undefined, '5', 'duplicate'],
  ];
  const found = await page.evaluate(async (updates) => {
    const { orderOf } = await import('/feed.js');
    return updates.map(([position, previousRevision, revision]) => orderOf({ previousRevision, revision }, position));
  }, cases);
  assert.deepEqual(found, cases.map(([, , , wanted]) => wanted));
});

test('when the server has another list, the page shows it and sends it no change made for the old one', async (t) => {
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
  await text(page, '.toast.alert p', 'Could not complete “\u2068old one\u2069”: the server now has a different list');
  await completed(page, []);
  assert.ok((await fixture.todo('list')).includes('open       new one'));
});

test('a refused change is rolled back, with a message', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const proxy = await Proxy.start(t, fixture.url);
  const page = await open(t, proxy.url);
  const refuse = (method) => proxy.refuse(method, 429, { code: 'resource_exhausted', message: 'no room' });
  const says = (words) => text(page, '.toast.alert:last-child p', words);
  refuse('CompleteTask');
  await row(page, 'Buy milk').locator('.toggle').click();
  await says('Could not complete “\u2068Buy milk\u2069”: the server is at its limit (no room)');
  await completed(page, []);
  assert.equal(await row(page, 'Buy milk').locator('.toggle').isChecked(), false);
  refuse('DeleteTask');
  await row(page, 'Buy milk').hover();
  await row(page, 'Buy milk').locator('.destroy').click();
  await says('Could not delete “\u2068Buy milk\u2069”: the server is at its limit (no room)');
  await shows(page, ['Buy milk']);
  refuse('AddTask');
  await add(page, 'One too many');
  await says('Could not add “\u2068One too many\u2069”: the server is at its limit (no room)');
  await shows(page, ['Buy milk']);
  assert.equal(await page.inputValue('.new-todo'), 'One too many'); // the text is not lost
});

test('changes appear before the server answers, and are sent when it is reachable', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk', 'Call mum', 'Sleep'] });
  const proxy = await Proxy.start(t, fixture.url);
  const page = await open(t, proxy.url);
  await proxy.down(); // the server is unreachable
  await add(page, 'Read a book');
  await row(page, 'Read a book').locator('.toggle').click(); // it does not have an id yet
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
  await text(page, '.waiting', '8 changes not sent yet');

  await proxy.up();
  await settled(page);
  await shows(page, ['Buy oat milk', 'Sleep', 'Read a book']);
  await completed(page, ['Sleep']);
  const stored = (await fixture.todo('list')).trim().split('\n').slice(1).map((line) => line.trim().replace(/ +/g, ' '));
  assert.deepEqual(stored, ['1 open Buy oat milk', '3 completed Sleep', '4 open Read a book']);
});

test('a call whose answer is lost is repeated, and the change happens once', async (t) => {
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

test('a late answer does not overwrite a newer change', async (t) => {
  const fixture = await Fixture.start(t, { titles: Array.from({ length: 8 }, (_, n) => `task ${n}`) });
  const proxy = await Proxy.start(t, fixture.url);
  const page = await open(t, proxy.url);
  // The answer has revision 9, the change that overtakes it 10, which is smaller as text.
  const held = proxy.hold('CompleteTask');
  await row(page, 'task 0').locator('.toggle').click();
  await held.answered;
  await fixture.todo('edit', '1', 'newer');
  await until(page, () => document.querySelector('.todo-list label').textContent, 'newer');
  held.release();
  await page.waitForResponse((response) => response.url().endsWith('/CompleteTask'));
  await add(page, 'last'); // once it is confirmed, the page has processed the answer
  await settled(page);
  await until(page, () => document.querySelector('.todo-list label').textContent, 'newer');
  await completed(page, ['newer']);
  assert.ok((await fixture.todo('history')).includes('10'));
});

test('an edit of a title that someone else has changed asks before it overwrites', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const page = await open(t, fixture.url);
  await row(page, 'Buy milk').locator('label').dblclick();
  await page.fill('.edit', 'Buy oat milk');
  await fixture.todo('edit', '1', 'Buy soy milk');
  await text(page, '.announcer', 'Someone else changed “\u2068Buy soy milk\u2069”');
  await page.press('.edit', 'Enter');
  await shows(page, ['Buy soy milk']);
  await text(page, '.toast.alert p', 'Someone else changed “\u2068Buy milk\u2069” while you were editing it.');
  await page.click('.toast .act');
  await shows(page, ['Buy oat milk']);
  await settled(page);
  assert.ok((await fixture.todo('list')).includes('Buy oat milk'));
});

test('an edit that waits for another call asks before it overwrites, too', async (t) => {
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
  await text(page, '.announcer', 'Someone else changed “\u2068Buy soy milk\u2069”');
  held.release();
  await text(page, '.toast.alert p', 'Someone else changed “\u2068Buy milk\u2069” while you were editing it.');
  await shows(page, ['Buy soy milk']);
});

test('the Enter that ends an edit does not restore a task that others deleted', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk', 'Sweep'] });
  const page = await open(t, fixture.url);
  await row(page, 'Buy milk').locator('label').dblclick();
  await page.fill('.edit', 'Buy oat milk');
  await fixture.todo('rm', '1');
  await text(page, '.announcer', 'Someone else deleted “\u2068Buy milk\u2069”');
  await page.press('.edit', 'Enter');
  await page.waitForSelector('.toast.alert');
  await settled(page);
  assert.ok((await fixture.todo('list', '--deleted')).includes('Buy milk'));
  await shows(page, ['Sweep']);
});

test('a text edited for a replaced list is shown in a message, and the new list can be edited', async (t) => {
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
  await text(page, '.toast.alert p', 'Could not change “\u2068what I wrote\u2069”: the server now has a different list');
  await row(page, 'new one').locator('label').dblclick();
  await page.fill('.edit', 'new two');
  await page.press('.edit', 'Enter');
  await shows(page, ['new two']);
});

test('a silent stream is reopened after 40 seconds', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const proxy = await Proxy.start(t, fixture.url);
  const context = await person(t);
  // Without shared workers the feed uses the timers of the page.
  await context.addInitScript(() => { delete window.SharedWorker; });
  const page = await context.newPage();
  await page.clock.install();
  await page.goto(proxy.url);
  await connection(page, 'live');
  assert.equal(proxy.eventsEver, 1);
  await page.clock.runFor(41_000);
  const deadline = Date.now() + WAIT_MS_MAX;
  while (proxy.eventsEver < 2) {
    assert.ok(Date.now() < deadline, 'the stream is not reopened');
    await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => drawn())));
  }
  await connection(page, 'live');
  assert.equal(proxy.events, 1, 'the old stream is closed');
});

// Evaluates the expression in the shared worker, which Playwright does not expose.
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

// During a sleep of the computer the connection dies silently: the proxy mutes it. The timers
// stop while the clock continues: the clock jumps.
test('after the computer slept, the page replaces the dead stream and shows what it missed', async (t) => {
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

test('the stream is reopened immediately when the network is back', async (t) => {
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

test('an edit is retried when another change of the task gets in between', async (t) => {
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

test('closing the page with unsent changes asks for confirmation', async (t) => {
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
