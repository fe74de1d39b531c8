// Short messages at the edge of the window, with at most one action each. Screen readers
// announce them. A message with the pointer or the focus on it stays.
import { t } from '../i18n.js';
import { TOASTS_MAX } from '../limits.js';

export class Toasts {
  #region;
  #open = []; // oldest first
  #before; // the element that had the focus before a message

  constructor(region) {
    this.#region = region;
    region.addEventListener('focusin', ({ relatedTarget }) => {
      if (!region.contains(relatedTarget)) this.#before = relatedTarget;
    });
  }

  // Shows `text`. `button` is the label of the action `run`. Without `forMs` the message stays
  // until it is dismissed.
  show({ text, alert = false, button, run, forMs }) {
    const element = document.createElement('div');
    element.className = alert ? 'toast alert' : 'toast';
    if (alert) element.setAttribute('role', 'alert');
    const message = document.createElement('p');
    message.textContent = text;
    element.append(message);
    const toast = { close: () => this.#close(toast), element, timed: forMs !== undefined };
    if (button) element.append(this.#button('act', button, () => { toast.close(); run(); }));
    const dismiss = this.#button('dismiss', '×', toast.close);
    dismiss.setAttribute('aria-label', t('toast.dismiss'));
    element.append(dismiss);
    this.#region.append(element);
    this.#open.push(toast);
    // Closes a message with a time limit first: another one may hold a text of the user.
    if (this.#open.length > TOASTS_MAX) {
      (this.#open.find((open) => open.timed) ?? this.#open[0]).close();
    }
    if (forMs) closeAfter(toast, forMs);
    return toast;
  }

  #button(name, text, run) {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = name;
    button.textContent = text;
    button.addEventListener('click', run);
    return button;
  }

  #close(toast) {
    this.#open = this.#open.filter((other) => other !== toast);
    const focused = toast.element.contains(document.activeElement);
    toast.element.remove();
    if (focused) (this.#before?.isConnected ? this.#before : document.querySelector('.new-todo')).focus();
  }
}

// The time restarts when the pointer or the focus leaves.
function closeAfter(toast, ms) {
  const { element } = toast;
  let timer;
  const wait = () => {
    clearTimeout(timer);
    if (!element.matches(':hover, :focus-within')) timer = setTimeout(toast.close, ms);
  };
  const hold = () => clearTimeout(timer);
  for (const event of ['pointerenter', 'focusin']) element.addEventListener(event, hold);
  for (const event of ['pointerleave', 'focusout']) {
    element.addEventListener(event, () => queueMicrotask(wait));
  }
  wait();
}
