// Short messages at the edge of the window, with at most one thing to do about each. What
// they say is read out; they wait while the pointer or the focus is on them.
import { t } from '../i18n.js';
import { TOASTS_MAX } from '../limits.js';

export class Toasts {
  #region;
  #open = []; // oldest first
  #before; // what had the focus before a message had it

  constructor(region) {
    this.#region = region;
    region.addEventListener('focusin', ({ relatedTarget }) => {
      if (!region.contains(relatedTarget)) this.#before = relatedTarget;
    });
  }

  // Shows `text`; `button` names what `run` does. Without `forMs` it stays until dismissed.
  show({ text, alert = false, button, run, forMs }) {
    const element = document.createElement('div');
    element.className = alert ? 'toast alert' : 'toast';
    if (alert) element.setAttribute('role', 'alert');
    const message = document.createElement('p');
    message.textContent = text;
    element.append(message);
    const toast = { close: () => this.#close(toast), element, passes: forMs !== undefined };
    if (button) element.append(this.#button('act', button, () => { toast.close(); run(); }));
    const dismiss = this.#button('dismiss', '×', toast.close);
    dismiss.setAttribute('aria-label', t('toast.dismiss'));
    element.append(dismiss);
    this.#region.append(element);
    this.#open.push(toast);
    // One that would go by itself, rather than one that may hold somebody's text.
    if (this.#open.length > TOASTS_MAX) {
      (this.#open.find((open) => open.passes) ?? this.#open[0]).close();
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

// The time starts anew when the pointer or the focus leaves.
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
