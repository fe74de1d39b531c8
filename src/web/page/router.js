// Which tasks are shown is in the address: a link, and the back button, lead there.

export const FILTERS = {
  all: { hash: '#/', shows: (task) => !task.deleted },
  active: { hash: '#/active', shows: (task) => !task.deleted && !task.completed },
  completed: { hash: '#/completed', shows: (task) => !task.deleted && task.completed },
  deleted: { hash: '#/deleted', shows: (task) => task.deleted },
};

export function currentFilter() {
  const found = Object.entries(FILTERS).find(([, { hash }]) => hash === location.hash);
  return found ? found[0] : 'all';
}

export function goTo(filter) {
  location.hash = FILTERS[filter].hash;
}

export function onRoute(show) {
  addEventListener('hashchange', show);
}
