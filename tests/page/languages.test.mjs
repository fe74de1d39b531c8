// The languages of the page: English and Russian.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { connection, open, openTab, person, row, shows, text, until } from './harness/browser.mjs';
import { root, Fixture } from './harness/fixture.mjs';

const files = join(root, 'src/web/page');

test('both languages have the same messages, with all plural forms and values', async (t) => {
  const fixture = await Fixture.start(t);
  const page = await open(t, fixture.url);
  const load = async () => ({ ...(await import('/lang/en.js')), ...(await import('/lang/ru.js')) });
  const { en, ru } = await page.evaluate(load);
  assert.deepEqual(Object.keys(ru).sort(), Object.keys(en).sort());
  for (const [tag, messages] of [['en', en], ['ru', ru]]) {
    const forms = new Intl.PluralRules(tag).resolvedOptions().pluralCategories.sort();
    for (const [key, message] of Object.entries(messages)) {
      if (typeof message !== 'string') assert.deepEqual(Object.keys(message).sort(), forms, `${tag} ${key}`);
    }
  }
  const values = (message) => [...new Set(JSON.stringify(message).match(/\{\w+\}/g))].sort();
  for (const key of Object.keys(en)) assert.deepEqual(values(ru[key]), values(en[key]), key);
});

test('the page uses the language of the browser, or English', async (t) => {
  const fixture = await Fixture.start(t);
  for (const [locale, lang, empty] of [
    ['ru-RU', 'ru', 'Задач нет. Добавьте задачу в поле выше.'],
    ['en-US', 'en', 'No tasks. Add one above.'],
    ['fi-FI', 'en', 'No tasks. Add one above.'],
  ]) {
    const page = await open(t, fixture.url, { locale });
    await text(page, '.empty', empty);
    assert.equal(await page.getAttribute('html', 'lang'), lang);
  }
});

for (const [languages, stored, lang] of [
  [['en-US@posix'], undefined, 'en'],
  [['en-US@posix', 'ru-RU@posix'], undefined, 'en'],
  [['ru_RU.UTF-8', 'en-US'], undefined, 'ru'],
  [['C', '', 'x', 'RU-ru'], undefined, 'ru'],
  [[], undefined, 'en'],
  [undefined, undefined, 'en'],
  [['ru-RU@posix'], 'en', 'en'],
  [['ru'], 'constructor', 'ru'],
  [['en'], '__proto__', 'en'],
  [['en'], 'xx', 'en'],
]) {
  test(`the page works with the browser languages ${JSON.stringify(languages)} and the setting ${stored}`, async (t) => {
    const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
    const context = await person(t);
    await context.addInitScript(([reported, setting]) => {
      Object.defineProperty(Navigator.prototype, 'languages', { get: () => reported });
      if (setting) localStorage.setItem('todo.language', setting);
    }, [languages, stored]);
    const page = await openTab(t, context, fixture.url);
    assert.equal(await page.getAttribute('html', 'lang'), lang);
    await text(page, '.connection-state', { en: 'Live', ru: 'На связи' }[lang]);
    await row(page, 'Buy milk').locator('.history-open').click();
    await page.waitForSelector('dialog.history[open] .history-changes time:not(:empty)');
    await fixture.killServer();
    await connection(page, 'offline');
    const says = { en: /^Offline since \d\d:\d\d$/, ru: /^Нет связи с \d\d:\d\d$/ }[lang];
    assert.match(await page.textContent('.connection-state'), says);
  });
}

test('the language switch changes every text, and is remembered', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const context = await person(t);
  const page = await openTab(t, context, fixture.url);
  await text(page, '.todo-count', '1 task left');
  await page.click('.languages [lang=ru]');
  await text(page, '.todo-count', 'осталась 1 задача');
  await text(page, '.connection-state', 'На связи');
  await text(page, '.filters .selected', 'Все');
  assert.equal(await page.getAttribute('.new-todo', 'placeholder'), 'Что нужно сделать?');
  assert.equal(await page.getAttribute('.destroy', 'aria-label'), 'Удалить');
  assert.equal(await page.getAttribute('html', 'lang'), 'ru');
  assert.equal(await page.getAttribute('.languages [lang=ru]', 'aria-pressed'), 'true');
  const again = await openTab(t, context, fixture.url);
  await text(again, '.todo-count', 'осталась 1 задача');
  await again.click('.languages [lang=en]');
  await text(again, '.todo-count', '1 task left');
});

test('plural forms are right in both languages', async (t) => {
  const fixture = await Fixture.start(t);
  const [english, russian] = [await open(t, fixture.url), await open(t, fixture.url, { locale: 'ru' })];
  let count = 0;
  for (const [n, left, ru] of [
    [1, '1 task left', 'осталась 1 задача'],
    [2, '2 tasks left', 'осталось 2 задачи'],
    [5, '5 tasks left', 'осталось 5 задач'],
    [11, '11 tasks left', 'осталось 11 задач'],
    [21, '21 tasks left', 'осталась 21 задача'],
    [112, '112 tasks left', 'осталось 112 задач'],
    [1001, '1,001 tasks left', 'осталась 1\u00a0001 задача'],
  ]) {
    await fixture.add(...Array.from({ length: n - count }, (_, i) => `task ${i}`));
    count = n;
    await text(english, '.todo-count', left);
    await text(russian, '.todo-count', ru);
  }
});

test('without storage the page works, and settings last as long as the page', async (t) => {
  const fixture = await Fixture.start(t, { titles: ['Buy milk'] });
  const context = await person(t);
  await context.addInitScript(() => {
    Object.defineProperty(window, 'localStorage', {
      get() {
        throw new DOMException('forbidden', 'SecurityError');
      },
    });
  });
  const page = await openTab(t, context, fixture.url);
  await shows(page, ['Buy milk']);
  await page.click('.languages [lang=ru]');
  await text(page, '.todo-count', 'осталась 1 задача');
  await row(page, 'Buy milk').locator('.toggle').click();
  await text(page, '.todo-count', 'осталось 0 задач');
  await connection(page, 'live');
});

test('every module is preloaded', async (t) => {
  const fixture = await Fixture.start(t);
  const page = await open(t, fixture.url);
  const html = await readFile(join(files, 'index.html'), 'utf8');
  const ahead = [...html.matchAll(/modulepreload" href="([^"]+)"/g)].map(([, href]) => href);
  const loaded = () => performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname)
    .filter((path) => path.endsWith('.js') && path !== '/main.js' && path !== '/worker.js');
  await until(page, () => document.readyState, 'complete');
  assert.deepEqual([...new Set(await page.evaluate(loaded))].sort(), ahead.sort());
  for (const path of ahead) await readFile(join(files, path)); // the file exists
});
