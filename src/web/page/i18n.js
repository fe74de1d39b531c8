// What the page says, in the reader's language.
import { en } from './lang/en.js';
import { ru } from './lang/ru.js';
import { recall, remember } from './settings.js';

const MESSAGES = { en, ru };
const SETTING = 'language';
const listeners = [];
let language;
let region; // the language as it is spoken where the reader lives, such as en-GB
let plural;
let number;

function preferred() {
  const wanted = [recall(SETTING), ...navigator.languages].filter(Boolean);
  return wanted.map((tag) => tag.split('-')[0]).find((tag) => tag in MESSAGES) ?? 'en';
}

function use(tag) {
  language = tag;
  region = navigator.languages.find((wanted) => wanted.split('-')[0] === tag) ?? tag;
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

// The message with its {values} put in; `count` chooses among plural forms.
export function t(key, values = {}) {
  const message = MESSAGES[language][key];
  const text = typeof message === 'string' ? message : message[plural.select(values.count)];
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === 'number' ? number.format(value) : value;
  });
}

// HH:MM, which is read the same everywhere.
export function clock(ms) {
  const format = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
  return new Intl.DateTimeFormat(region, format).format(ms);
}

export function dateAndTime(iso) {
  const format = new Intl.DateTimeFormat(region, { dateStyle: 'medium', timeStyle: 'short' });
  return format.format(new Date(iso));
}

// Fills in what the markup only names: data-text, data-label and data-placeholder.
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
