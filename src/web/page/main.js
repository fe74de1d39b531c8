// Connects the parts: the feed and the actions change the store, and the page draws the store.
import { Actions } from './actions.js';
import { Api } from './api.js';
import { listen } from './events.js';
import { onShortcut, wireKeys } from './keys.js';
import { currentFilter, goTo, onRoute } from './router.js';
import { select } from './selection.js';
import { Store } from './store.js';
import { announce } from './views/announcer.js';
import { focusCompose, giveBack, wireCompose } from './views/compose.js';
import { showConnection } from './views/connection.js';
import { showFooter, wireFooter } from './views/footer.js';
import { openHelp, wireHelp } from './views/help.js';
import { HistoryDialog } from './views/history.js';
import { wireLanguages } from './views/languages.js';
import { ListView } from './views/list.js';
import { focusSearch, query, wireSearch } from './views/search.js';
import { wireSticky } from './views/sticky.js';
import { Toasts } from './views/toasts.js';

const api = new Api();
const store = new Store(api);
const toasts = new Toasts(document.querySelector('.toasts'));
const actions = new Actions(store, toasts);
const history = new HistoryDialog(api);
const list = new ListView(actions, redraw, (task) => history.open(task));

let connection = { state: 'connecting', since: undefined };
let selected = select([], { filter: 'all', query: '' });
let drawing; // 'scroll' or 'all' if a draw is scheduled
let justAdded = false;

// Schedules one draw for the next frame.
function redraw(what = 'all') {
  if (drawing === undefined) requestAnimationFrame(draw);
  if (drawing !== 'all') drawing = what;
}

function draw() {
  if (drawing === undefined) return;
  const what = drawing;
  drawing = undefined;
  if (what === 'scroll') return list.refresh();
  showConnection(connection, store.pending); // first: an error below must not hide it
  const view = { filter: currentFilter(), query: query(), editing: list.editing };
  selected = select(store.tasks(), view);
  list.show(selected.items, { ...view, loaded: store.loaded });
  showFooter(selected, view);
  if (justAdded && selected.items.length > 0) list.reveal(selected.items.at(-1).key);
  justAdded = false;
}

store.onchange = redraw;
store.onchanges = (changes) => {
  for (const change of changes) {
    history.changed(change);
    if (change.own || change.action === 'PURGED') continue; // a purge is housekeeping
    list.flash(change.key);
    announce(change);
  }
};

listen((message) => {
  if (message.type !== 'connection') return store.receive(message);
  connection = message;
  api.setLive(message.state === 'live');
  redraw();
});

const onTask = (run) => () => {
  const task = list.current();
  if (task) run(task);
  return task !== undefined;
};
const always = (run) => () => {
  run();
  return true;
};
const RUN = {
  add: always(focusCompose),
  search: always(focusSearch),
  next: () => list.move(1),
  previous: () => list.move(-1),
  first: () => list.first(),
  last: () => list.last(),
  toggle: onTask((task) => actions.toggle(task)),
  edit: onTask((task) => list.edit(task.key)),
  remove: onTask((task) => task.deleted || actions.remove(task)),
  restore: onTask((task) => task.deleted && actions.restore(task)),
  history: onTask((task) => history.open(task)),
  undo: () => actions.undo(),
  all: always(() => goTo('all')),
  active: always(() => goTo('active')),
  completed: always(() => goTo('completed')),
  deleted: always(() => goTo('deleted')),
  help: always(openHelp),
};

wireKeys();
onShortcut((does) => RUN[does]?.() ?? false);
onRoute(() => {
  scrollTo({ top: 0, behavior: 'instant' });
  redraw();
});
wireCompose({
  add(text) {
    justAdded = actions.add(text, giveBack);
    return justAdded;
  },
  leave: () => list.enter() || document.activeElement.blur(), // without tasks, only leave the field
});
wireSearch({
  changed: () => redraw(),
  leave() {
    draw(); // so that the first task is the first match
    list.first();
  },
});
wireFooter({
  onToggleAll: () => actions.toggleAll(selected),
  onClear: () => actions.clearCompleted(selected),
});
wireHelp();
wireLanguages(redraw);
wireSticky();
addEventListener('beforeunload', (event) => {
  if (store.pending > 0) event.preventDefault();
});
redraw();
