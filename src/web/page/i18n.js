// The texts of the page in the user's language.
import { en } from './lang/en.js';
import { ru } from './lang/ru.js';
import { recall, remember } from './settings.js';

const MESSAGES = { en, ru };
const SETTING = 'language';
const listeners = [];
const reported = [navigator.languages ?? navigator.language].flat(); // the preferred one first
let language;
let locale; // the language with the user's region, such as en-GB, for dates and times
let plural;
let number;

// A browser may report a tag for which Intl throws a RangeError, such as en-US@posix.
function isAccepted(tag) {
  try {
    return Intl.getCanonicalLocales(tag).length > 0;
  } catch {
    return false;
  }
}

function languageOf(tag) {
  return tag.split(/[^a-z]/i)[0].toLowerCase();
}

function preferred() {
  const wanted = [recall(SETTING) ?? '', ...reported].map(languageOf);
  return wanted.find((tag) => Object.hasOwn(MESSAGES, tag)) ?? 'en';
}

function use(tag) {
  language = tag;
  locale = reported.find((wanted) => languageOf(wanted) === tag && isAccepted(wanted)) ?? tag;
  plural = new Intl.PluralRules(tag);
  number = new Intl.NumberFormat(tag);
  document.documentElement.lang = tag;
}

use(preferred());

export function currentLanguage() {
  return language;
}

export function setLanguage(tag) {
  use(tag);
  remember(SETTING, tag);
  for (const listener of listeners) listener();
}

export function onLanguage(listener) {
  listeners.push(listener);
}

// Returns the message with its {values} filled in; `count` chooses the plural form. If there
// is no message for the key, the one for `otherwise` is used.
export function t(key, values = {}, otherwise = undefined) {
  const message = MESSAGES[language][key] ?? MESSAGES[language][otherwise];
  const text = typeof message === 'string' ? message : message[plural.select(values.count)];
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === 'number' ? number.format(value) : value;
  });
}

// Returns HH:MM, which reads the same in every region.
export function clock(ms) {
  const format = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
  return new Intl.DateTimeFormat(locale, format).format(ms);
}

// Returns an empty text if `iso` is not a time.
export function dateAndTime(iso) {
  const time = Date.parse(iso);
  if (Number.isNaN(time)) return '';
  return new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' }).format(time);
}

// Fills in the texts that the markup refers to: data-text, data-label and data-placeholder.
export function translate(root) {
  for (const element of root.querySelectorAll('[data-text]')) {
    element.textContent = t(element.dataset.text);
  }
  for (const element of root.querySelectorAll('[data-label]')) {
    element.setAttribute('aria-label', t(element.dataset.label));
    if (element.matches('button')) element.title = t(element.dataset.label);
  }
  for (const element of root.querySelectorAll('[data-placeholder]')) {
    element.placeholder = t(element.dataset.placeholder);
  }
}
