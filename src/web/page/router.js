// The filter is part of the address, so links and the back button work.

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
