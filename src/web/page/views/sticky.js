// Passes the heights of the sticky parts to the style sheets, so that a focused element is
// never hidden behind them.

const PARTS = { '--top-height': '.header', '--toolbar-height': '.toolbar', '--bottom-height': '.footer' };

export function wireSticky() {
  const { style } = document.documentElement;
  const observer = new ResizeObserver(() => {
    for (const [name, part] of Object.entries(PARTS)) {
      style.setProperty(name, `${document.querySelector(part).offsetHeight}px`);
    }
  });
  for (const part of Object.values(PARTS)) observer.observe(document.querySelector(part));
}
