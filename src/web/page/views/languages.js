// The language switch.
import { currentLanguage, onLanguage, setLanguage, translate } from '../i18n.js';

const buttons = document.querySelectorAll('.languages button');

export function wireLanguages(redraw) {
  for (const button of buttons) {
    button.addEventListener('click', () => setLanguage(button.lang));
  }
  onLanguage(() => {
    show();
    redraw();
  });
  show();
}

function show() {
  translate(document);
  for (const button of buttons) button.ariaPressed = String(button.lang === currentLanguage());
}
