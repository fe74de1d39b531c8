// A long list in which only the rows near the window exist. Rows are in the normal flow and of
// any height; margins take the place of missing rows.
import { OVERSCAN_PX, RENDER_ALL_ROWS_MAX, ROW_PX } from '../limits.js';

export class VirtualList {
  #ul;
  #make; // () → row with `element` and update(item, index, count)
  #items = [];
  #rows = new Map(); // key → existing row
  #heights = new Map(); // key → px of a measured row
  #typical = ROW_PX; // px of a row that has not been measured
  #tops = new Float64Array(1); // px from the list's top to each row, then to the list's end
  #width = 0;
  #everything = false;

  constructor(ul, make) {
    this.#ul = ul;
    this.#make = make;
    addEventListener('beforeprint', () => this.#all(true));
    addEventListener('afterprint', () => this.#all(false));
  }

  get items() {
    return this.#items;
  }

  row(key) {
    return this.#rows.get(key);
  }

  indexOf(key) {
    return this.#items.findIndex((item) => item.key === key);
  }

  show(items) {
    this.#items = items;
    this.refresh();
  }

  // Draws the rows near the window.
  refresh() {
    const anchor = this.#anchor();
    this.#forgetHeightsOfOtherWidth();
    this.#computeTops();
    this.#place(this.#wanted());
    if (this.#measure()) {
      this.#computeTops();
      this.#place(this.#wanted());
      this.#measure();
    }
    this.#hold(anchor);
  }

  // Scrolls the row at `index` into the window and returns it.
  reveal(index) {
    const { key } = this.#items[index];
    if (!this.#rows.has(key)) {
      const top = this.#ul.getBoundingClientRect().top + scrollY + this.#tops[index];
      scrollTo({ top: top - innerHeight / 2, behavior: 'instant' });
      this.refresh();
    }
    const row = this.#rows.get(key);
    row.element.scrollIntoView({ block: 'nearest', behavior: 'instant' });
    return row;
  }

  #all(everything) {
    this.#everything = everything;
    this.refresh();
  }

  #computeTops() {
    const count = this.#items.length;
    if (this.#tops.length !== count + 1) this.#tops = new Float64Array(count + 1);
    this.#items.forEach(({ key }, i) => {
      this.#tops[i + 1] = this.#tops[i] + (this.#heights.get(key) ?? this.#typical);
    });
  }

  // Returns the indexes of the rows that should exist, in order.
  #wanted() {
    const count = this.#items.length;
    if (count <= RENDER_ALL_ROWS_MAX || this.#everything) return range(0, count);
    const top = -this.#ul.getBoundingClientRect().top;
    const first = this.#at(top - OVERSCAN_PX);
    const last = this.#at(top + innerHeight + OVERSCAN_PX);
    // A row with the focus or a text field exists wherever it is.
    const held = range(0, count).filter((i) => this.#rows.get(this.#items[i].key)?.isHeld);
    return [
      ...held.filter((i) => i < first),
      ...range(first, last + 1),
      ...held.filter((i) => i > last),
    ];
  }

  // Returns the index of the row at `y` px from the list's top, or of the nearest row.
  #at(y) {
    let low = 0;
    let high = this.#items.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#tops[middle + 1] <= y) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #place(wanted) {
    const keys = new Set(wanted.map((i) => this.#items[i].key));
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      this.#rows.delete(key);
      row.element.remove();
    }
    let next = this.#ul.firstElementChild;
    let end = 0; // px to the end of the previous row
    for (const i of wanted) {
      const { element } = this.#update(i);
      setStyle(element, 'marginTop', gap(this.#tops[i] - end));
      end = this.#tops[i + 1];
      if (element === next) next = next.nextElementSibling;
      else this.#ul.insertBefore(element, next);
    }
    setStyle(this.#ul, 'paddingBottom', gap(this.#tops[this.#items.length] - end));
  }

  #update(i) {
    const item = this.#items[i];
    let row = this.#rows.get(item.key);
    if (!row) {
      row = this.#make();
      this.#rows.set(item.key, row);
    }
    row.update(item, i, this.#items.length);
    return row;
  }

  // Measures the rows. Returns whether a height differs from the assumed one.
  #measure() {
    let changed = false;
    for (const [key, { element }] of this.#rows) {
      const height = element.getBoundingClientRect().height;
      if (this.#heights.size === 0) this.#typical = height;
      if (this.#heights.get(key) === height) continue;
      changed ||= height !== (this.#heights.get(key) ?? this.#typical);
      this.#heights.set(key, height);
    }
    return changed;
  }

  #forgetHeightsOfOtherWidth() {
    const width = this.#ul.clientWidth;
    if (width === this.#width) return;
    this.#width = width;
    this.#heights.clear();
  }

  // Returns the row at the top of the window and its position. #hold keeps it there, so that
  // the text the user reads does not move when rows above it change.
  #anchor() {
    if (scrollY === 0) return undefined;
    const edge = parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop) || 0;
    for (const row of this.#rows.values()) {
      const { top, bottom } = row.element.getBoundingClientRect();
      if (bottom > edge && top < innerHeight) return { row, top };
    }
    return undefined;
  }

  #hold(anchor) {
    if (!anchor?.row.element.isConnected) return;
    const moved = anchor.row.element.getBoundingClientRect().top - anchor.top;
    if (Math.abs(moved) >= 1) scrollBy({ top: moved, behavior: 'instant' });
  }
}

function range(from, to) {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

function gap(px) {
  return px > 0 ? `${px}px` : '';
}

function setStyle({ style }, name, value) {
  if (style[name] !== value) style[name] = value;
}
