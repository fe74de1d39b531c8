use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use crate::limits::{
    CHANGE_LOG_BYTES_MAX, UPDATE_BATCH_BYTES_MAX, UPDATE_BATCH_CHANGES_MAX, UPDATES_PER_MESSAGE_MAX,
};
use crate::model::{Change, Filter, Revision};
use crate::store::{Batch, RecordedChange};

/// Updates as one filter sees them, ready to send: encoded once for all streams.
pub trait EncodedUpdates: Send + Sync + Sized {
    /// The updates of these changes. No change that concerns the filter lies between
    /// `previous` and the first of them.
    fn encode(previous: Revision, changes: &[&RecordedChange]) -> Self;

    /// Consecutive updates as one batch.
    fn concat(parts: &[Arc<Self>]) -> Self;
}

/// The newest published batches, in memory. A stream owns its position, a revision, and
/// asks for what comes after it: slow, resuming and live streams are the same.
pub struct ChangeLog<E>(RwLock<Window<E>>);

struct Window<E> {
    /// In revision order, without gaps.
    entries: VecDeque<Arc<Entry<E>>>,
    /// The number of entries before the first one of `entries`.
    evicted_entries: usize,
    changes: usize,
    changes_max: usize,
    bytes: usize,
    /// Every change after this revision, up to `head`, is in `entries`.
    evicted: Revision,
    head: Revision,
    /// For each watched filter, the last evicted revision that may have concerned it.
    evicted_of: HashMap<Filter, Revision>,
}

/// One published batch.
struct Entry<E> {
    batch: Arc<Batch>,
    bytes: usize,
    /// One for each filter that was watched when the batch was published and that it
    /// concerns.
    views: Vec<View<E>>,
}

/// A batch as one filter sees it.
struct View<E> {
    filter: Filter,
    /// The last revision before the batch that concerned the filter, as far as known.
    previous: Revision,
    last: Revision,
    changes: usize,
    bytes: usize,
    /// `encoded[k]`: this batch and the ones after it, 2^k together, made on demand. A
    /// batch begins only groups that divide its number, so streams share them.
    encoded: [OnceLock<Arc<E>>; GROUP_LEVELS],
}

/// Groups hold 1, 2, 4, .. batches, up to 2^(GROUP_LEVELS - 1).
const GROUP_LEVELS: usize = 11;

/// What a stream has next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<E> {
    /// Everything up to the revision is in the updates, or does not concern the filter.
    Ready(Option<Arc<E>>, Revision),
    /// Nothing yet: the position is the head.
    CaughtUp,
    /// The position is older than the log: read the store.
    Evicted,
}

impl<E: EncodedUpdates> ChangeLog<E> {
    fn new(head: Revision, changes_max: usize) -> ChangeLog<E> {
        ChangeLog(RwLock::new(Window {
            entries: VecDeque::new(),
            evicted_entries: 0,
            changes: 0,
            changes_max,
            bytes: 0,
            evicted: head,
            head,
            evicted_of: HashMap::new(),
        }))
    }

    /// The revision up to which everything was published.
    pub fn head(&self) -> Revision {
        self.0.read().head
    }

    /// What follows a position, as the filter sees it; small batches may come together.
    /// `filter_since`: the revision since which publishing looks at the filter.
    pub fn after(&self, position: Revision, filter: &Filter, filter_since: Revision) -> Next<E> {
        let (entries, up_to) = {
            let window = self.0.read();
            if position >= window.head {
                return Next::CaughtUp;
            }
            if position < window.evicted
                && window.evicted_of.get(filter).is_none_or(|last| *last > position)
            {
                return Next::Evicted;
            }
            let position = position.max(window.evicted);
            let at = window.entries.partition_point(|entry| entry.last() <= position);
            let Some(first) = window.entries.get(at) else { return Next::CaughtUp };
            if first.after() < position || first.after() < filter_since {
                let entries = window.without_views(at, filter_since);
                drop(window);
                return encode_after(&entries, position, filter);
            }
            window.group(at, filter)
        };
        let Some(first) = entries.first() else { return Next::Ready(None, up_to) };
        if entries.len() == 1 {
            return Next::Ready(first.encoded(filter), up_to);
        }
        let level = entries.len().ilog2() as usize;
        let group = first.view(filter).map(|view| {
            view.encoded[level].get_or_init(|| {
                let parts: Vec<_> = entries.iter().filter_map(|e| e.encoded(filter)).collect();
                Arc::new(E::concat(&parts))
            })
        });
        Next::Ready(group.cloned(), up_to)
    }
}

impl<E> Window<E> {
    /// The next entries that concern the filter, as many as are sent together: a power of
    /// two. None, if nothing up to the returned revision concerns it.
    fn group(&self, at: usize, filter: &Filter) -> (Vec<Arc<Entry<E>>>, Revision) {
        let concerned =
            (at..self.entries.len()).find(|at| self.entries[*at].view(filter).is_some());
        let Some(at) = concerned else { return (Vec::new(), self.head) };
        let number = self.evicted_entries + at;
        let mut length = 1;
        for level in 1..GROUP_LEVELS {
            let longer = 1 << level;
            if !number.is_multiple_of(longer) || at + longer > self.entries.len() {
                break;
            }
            let views = self.entries.range(at..at + longer).filter_map(|e| e.view(filter));
            let (changes, bytes) =
                views.fold((0, 0), |(c, b), view| (c + view.changes, b + view.bytes));
            if changes > UPDATE_BATCH_CHANGES_MAX || bytes > UPDATE_BATCH_BYTES_MAX {
                break;
            }
            length = longer;
        }
        let entries: Vec<_> = self.entries.range(at..at + length).cloned().collect();
        let up_to = entries.last().map_or(self.head, |entry| entry.last());
        (entries, up_to)
    }

    /// The next entries that were published before a filter was watched, as many as are
    /// sent together: at least one.
    fn without_views(&self, at: usize, filter_since: Revision) -> Vec<Arc<Entry<E>>> {
        let (mut changes, mut bytes) = (0, 0);
        let fits = |entry: &&Arc<Entry<E>>| {
            let is_first = changes == 0;
            changes += entry.batch.changes.len();
            bytes += entry.bytes;
            let is_small =
                changes <= UPDATES_PER_MESSAGE_MAX && bytes <= 2 * UPDATE_BATCH_BYTES_MAX;
            is_first || entry.after() < filter_since && is_small
        };
        self.entries.range(at..).take_while(fits).cloned().collect()
    }

    /// Drops the oldest entries while there are too many. They are freed by the caller.
    fn evict(&mut self) -> Vec<Arc<Entry<E>>> {
        let mut evicted = Vec::new();
        while (self.changes > self.changes_max || self.bytes > CHANGE_LOG_BYTES_MAX)
            && self.entries.len() > 1
            && let Some(oldest) = self.entries.pop_front()
        {
            self.evicted_entries += 1;
            self.changes -= oldest.batch.changes.len();
            self.bytes -= oldest.bytes;
            self.evicted = oldest.last();
            for view in &oldest.views {
                if let Some(last) = self.evicted_of.get_mut(&view.filter) {
                    // Not backwards: the filter may have been unwatched since, and then
                    // nothing tells which later batches concerned it.
                    *last = (*last).max(view.last);
                }
            }
            evicted.push(oldest);
        }
        evicted
    }
}

impl<E> Entry<E> {
    fn after(&self) -> Revision {
        self.batch.after()
    }

    fn last(&self) -> Revision {
        self.batch.head.revision
    }

    fn view(&self, filter: &Filter) -> Option<&View<E>> {
        self.views.iter().find(|view| view.filter == *filter)
    }
}

impl<E: EncodedUpdates> Entry<E> {
    fn encoded(&self, filter: &Filter) -> Option<Arc<E>> {
        let view = self.view(filter)?;
        let encoded = view.encoded[0].get_or_init(|| {
            Arc::new(E::encode(view.previous, &concerned(&self.batch.changes, filter)))
        });
        Some(encoded.clone())
    }
}

/// For a stream that starts within a batch, or before its filter was watched: encoded for
/// it alone.
fn encode_after<E: EncodedUpdates>(
    entries: &[Arc<Entry<E>>],
    position: Revision,
    filter: &Filter,
) -> Next<E> {
    let up_to = entries.last().map_or(position, |entry| entry.last());
    let changes = entries.iter().flat_map(|entry| &entry.batch.changes);
    let changes: Vec<_> = changes
        .filter(|recorded| recorded.change.revision > position && filter.concerns(&recorded.change))
        .collect();
    let encoded = (!changes.is_empty()).then(|| Arc::new(E::encode(position, &changes)));
    Next::Ready(encoded, up_to)
}

fn concerned<'a>(changes: &'a [RecordedChange], filter: &Filter) -> Vec<&'a RecordedChange> {
    changes.iter().filter(|recorded| filter.concerns(&recorded.change)).collect()
}

/// The state thread's end of the log.
pub(super) trait Publisher: Send {
    /// Appends the batch. Returns the watched filters that it concerns.
    fn publish(&mut self, batch: &Arc<Batch>) -> Vec<Filter>;

    /// From now on, publishing looks at this filter. Returns the revision since which it
    /// does: the head, or less if the filter is watched already.
    fn watch(&mut self, filter: &Filter) -> Revision;

    /// Undoes one `watch`.
    fn unwatch(&mut self, filter: &Filter);
}

pub(super) struct LogPublisher<E> {
    log: Arc<ChangeLog<E>>,
    filters: HashMap<Filter, Watched>,
}

/// A filter that some streams watch.
struct Watched {
    streams: usize,
    since: Revision,
    /// The last revision that concerned it; `since`, if there was none after that.
    last: Revision,
}

impl<E: EncodedUpdates> LogPublisher<E> {
    pub(super) fn new(head: Revision, changes_max: usize) -> (LogPublisher<E>, Arc<ChangeLog<E>>) {
        let log = Arc::new(ChangeLog::new(head, changes_max));
        (LogPublisher { log: log.clone(), filters: HashMap::new() }, log)
    }
}

impl<E: EncodedUpdates> Publisher for LogPublisher<E> {
    fn publish(&mut self, batch: &Arc<Batch>) -> Vec<Filter> {
        let mut views = Vec::new();
        for (filter, watched) in &mut self.filters {
            let of_filter = concerned(&batch.changes, filter);
            let Some(last) = of_filter.last() else { continue };
            let previous = std::mem::replace(&mut watched.last, last.change.revision);
            views.push(View {
                filter: filter.clone(),
                previous,
                last: watched.last,
                changes: of_filter.len(),
                bytes: of_filter.iter().map(|recorded| recorded.change.weight()).sum(),
                encoded: [const { OnceLock::new() }; GROUP_LEVELS],
            });
        }
        let concerned = views.iter().map(|view| view.filter.clone()).collect();
        let bytes = batch.changes.iter().map(|c| weight_in_memory(&c.change)).sum();
        let entry = Arc::new(Entry { batch: batch.clone(), bytes, views });
        let mut window = self.log.0.write();
        debug_assert_eq!(window.head, entry.after(), "batches are contiguous");
        window.head = entry.last();
        window.changes += batch.changes.len();
        window.bytes += bytes;
        window.entries.push_back(entry);
        let evicted = window.evict();
        drop(window);
        drop(evicted); // freed without the lock
        concerned
    }

    fn watch(&mut self, filter: &Filter) -> Revision {
        let head = self.log.head();
        let watched = self.filters.entry(filter.clone()).or_insert_with(|| {
            // Entries before this one have no view of the filter: which of them concern it
            // is not known once they are evicted.
            self.log.0.write().evicted_of.insert(filter.clone(), head);
            Watched { streams: 0, since: head, last: head }
        });
        watched.streams += 1;
        watched.since
    }

    fn unwatch(&mut self, filter: &Filter) {
        let Some(watched) = self.filters.get_mut(filter) else { return };
        watched.streams -= 1;
        if watched.streams == 0 {
            self.filters.remove(filter);
            self.log.0.write().evicted_of.remove(filter);
        }
    }
}

/// The change twice, as task and as record.
fn weight_in_memory(change: &Change) -> usize {
    2 * change.weight()
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
