// Titles are text, whatever they contain.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { add, open, row, settled, shows, text, until } from './harness/browser.mjs';
import { Fixture } from './harness/fixture.mjs';

const HOSTILE = [
  '<img src=x onerror="document.title=\'owned\'">',
  '<script>document.title = "owned"</script>',
  '"><svg onload=document.title=1>&lt;b&gt;&amp;',
  'javascript:document.title="owned"',
  '{count} {title} $& ${1} %s \\u003cb\\u003e',
  '__proto__',
  'שלום עולם, and the rest in English',
  'مرحبا بالعالم 123',
  '👩‍👩‍👧‍👦 семья 🏳️‍🌈 e\u0301 \u00e9',
  'a  b   c',
  'x'.repeat(1024),
  '😀'.repeat(1024),
  'w\u0336i\u0336d\u0336e\u0336 z\u0351\u0352\u0353a\u0354\u0355l\u0356go',
];

test('hostile titles of others are shown as text', async (t) => {
  const fixture = await Fixture.start(t, { titles: HOSTILE });
  const page = await open(t, fixture.url);
  await shows(page, HOSTILE);
  await fixture.todo('rm', '1');
  await shows(page, HOSTILE.slice(1));
  await until(page, () => document.querySelector('.announcer').textContent, `Someone else deleted “\u2068${HOSTILE[0]}\u2069”`);
  await row(page, HOSTILE[1]).hover();
  await row(page, HOSTILE[1]).locator('.history-open').click();
  await text(page, '.history-changes span', HOSTILE[1]);
  await text(page, '.history-task', HOSTILE[1]);
  await page.keyboard.press('Escape');
  for (const title of [HOSTILE[1], HOSTILE[4]]) {
    await row(page, title).hover();
    await row(page, title).locator('.destroy').click();
    await text(page, '.toast:last-child p', `Deleted “\u2068${title}\u2069”`);
  }
  await page.fill('.search', '<b>{title}');
  await text(page, '.empty', 'No tasks match “<b>{title}”.');
  assert.equal(await page.title(), 'todo');
  const foreign = () => document.querySelectorAll('li :is(img, script, b), .toasts :is(img, script), dialog script').length;
  assert.equal(await page.evaluate(foreign), 0);
  const wide = () => document.documentElement.scrollWidth > innerWidth;
  assert.equal(await page.evaluate(wide), false);
});

test('hostile titles arrive on the server as typed', async (t) => {
  const fixture = await Fixture.start(t);
  const page = await open(t, fixture.url);
  for (const title of HOSTILE) await add(page, title);
  await shows(page, HOSTILE);
  await settled(page);
  await shows(page, HOSTILE);
  const stored = (await fixture.todo('list', '--json')).trim().split('\n').map((line) => JSON.parse(line).title);
  assert.deepEqual(stored, HOSTILE);
  await row(page, HOSTILE[0]).locator('label').dblclick();
  assert.equal(await page.inputValue('.edit'), HOSTILE[0]);
});

test('an invalid title is reported without a call, and the text stays in the field', async (t) => {
  const fixture = await Fixture.start(t);
  const page = await open(t, fixture.url);
  for (const [title, why] of [
    ['x'.repeat(1025), 'A title can have at most 1,024 characters.'],
    ['left \u202e right', 'A title cannot contain control characters.'],
  ]) {
    await add(page, title);
    await text(page, '.toast.alert:last-child p', why);
    assert.equal(await page.inputValue('.new-todo'), title);
  }
  await shows(page, []);
  assert.equal(await fixture.todo('history'), await (await Fixture.start(t)).todo('history'));
});
