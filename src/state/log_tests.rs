use super::*;
use crate::model::{Head, Status};
use crate::state::tests::change;

/// The previous revision and the revisions, in place of encoded updates.
#[derive(Debug, PartialEq, Eq)]
struct Revisions(Revision, Vec<Revision>);

impl EncodedUpdates for Revisions {
    fn encode(previous: Revision, changes: &[&RecordedChange]) -> Revisions {
        Revisions(previous, changes.iter().map(|recorded| recorded.change.revision).collect())
    }

    fn concat(parts: &[Arc<Revisions>]) -> Revisions {
        Revisions(parts[0].0, parts.iter().flat_map(|part| part.1.clone()).collect())
    }
}

struct Fixture {
    publisher: LogPublisher<Revisions>,
    log: Arc<ChangeLog<Revisions>>,
}

/// Matches every change of the fixture.
fn any() -> Filter {
    Status::Any.into()
}

/// Matches the changes of the fixture whose task is deleted.
fn deleted() -> Filter {
    Status::Deleted.into()
}

impl Fixture {
    fn new(head: Revision, changes_max: usize) -> Fixture {
        let (publisher, log) = LogPublisher::new(head, changes_max);
        Fixture { publisher, log }
    }

    /// Publishes the revisions as one batch. Returns how many watched filters it concerns.
    fn publish(
        &mut self,
        revisions: std::ops::RangeInclusive<Revision>,
        is_deleted: bool,
    ) -> usize {
        let changes = revisions.clone().map(|revision| change(revision, is_deleted).into());
        let head = Head { revision: *revisions.end(), ..Head::default() };
        let batch = Batch { changes: changes.collect(), head, ..Batch::default() };
        self.publisher.publish(&Arc::new(batch)).len()
    }

    /// Everything after a position up to the head, as the previous revision and the
    /// revisions of each part; `None` if the position was evicted.
    fn parts(&self, mut at: Revision, filter: &Filter, since: Revision) -> Option<Vec<Revisions>> {
        let mut parts = Vec::new();
        loop {
            match self.log.after(at, filter, since) {
                Next::Ready(updates, up_to) => {
                    assert!(up_to > at, "a stream moves on");
                    at = up_to;
                    parts.extend(updates.map(|part| Revisions(part.0, part.1.clone())));
                }
                Next::CaughtUp => {
                    assert_eq!(at, self.log.head());
                    return Some(parts);
                }
                Next::Evicted => return None,
            }
        }
    }

    fn revisions(&self, at: Revision, filter: &Filter) -> Option<Vec<Revision>> {
        let parts = self.parts(at, filter, Revision::MAX)?;
        Some(parts.into_iter().flat_map(|part| part.1).collect())
    }
}

#[test]
fn every_position_in_the_window_has_all_later_changes() {
    let mut fixture = Fixture::new(10, 100);
    assert_eq!(fixture.revisions(10, &any()), Some(vec![]));
    assert_eq!(fixture.revisions(9, &any()), None);
    let since = fixture.publisher.watch(&any());
    fixture.publish(11..=12, false);
    fixture.publish(13..=13, false);
    fixture.publish(14..=17, false);
    for at in 10..=17 {
        // For a stream whose filter was watched throughout, and for one that came later.
        for since in [since, Revision::MAX] {
            let parts = fixture.parts(at, &any(), since).unwrap();
            assert!(parts.iter().flat_map(|part| &part.1).copied().eq(at + 1..=17), "after {at}");
            let mut previous = at;
            for part in &parts {
                assert_eq!(part.0, previous, "nothing is missing before {:?}", part.1);
                previous = *part.1.last().unwrap();
            }
        }
    }
}

#[test]
fn the_oldest_batches_are_evicted_above_the_limit() {
    let mut fixture = Fixture::new(0, 10);
    fixture.publish(1..=5, false);
    fixture.publish(6..=10, false);
    assert_eq!(fixture.revisions(0, &any()), Some((1..=10).collect()));
    fixture.publish(11..=11, false);
    assert_eq!(fixture.revisions(4, &any()), None);
    assert_eq!(fixture.revisions(5, &any()), Some((6..=11).collect()));
    fixture.publish(12..=40, false);
    assert_eq!(fixture.revisions(11, &any()), Some((12..=40).collect()), "one batch is kept");
    assert_eq!(fixture.revisions(10, &any()), None);
}

#[test]
fn a_batch_notifies_only_the_filters_that_it_concerns() {
    let mut fixture = Fixture::new(0, 100);
    assert_eq!(fixture.publish(1..=1, true), 0, "no filter is watched");
    fixture.publisher.watch(&any());
    fixture.publisher.watch(&deleted());
    fixture.publisher.watch(&deleted());
    assert_eq!(fixture.publish(2..=2, false), 1);
    assert_eq!(fixture.publish(3..=3, true), 2);
    fixture.publisher.unwatch(&deleted());
    assert_eq!(fixture.publish(4..=4, true), 2, "one stream still watches it");
    fixture.publisher.unwatch(&deleted());
    assert_eq!(fixture.publish(5..=5, true), 1);
}

#[test]
fn a_rare_filter_is_not_sent_to_the_store_for_nothing() {
    let mut fixture = Fixture::new(0, 4);
    let since = fixture.publisher.watch(&deleted());
    fixture.publish(1..=1, true);
    for revision in 2..=20 {
        fixture.publish(revision..=revision, false);
    }
    // Only revision 1 concerned it, and it is evicted.
    assert_eq!(fixture.parts(0, &deleted(), since), None);
    assert_eq!(fixture.parts(1, &deleted(), since), Some(vec![]));
    fixture.publish(21..=21, true);
    assert_eq!(fixture.parts(1, &deleted(), since), Some(vec![Revisions(1, vec![21])]));
    assert_eq!(fixture.parts(1, &any(), since), None, "this filter is not watched");
}

/// Batches published before a filter was watched have no view of it, so the log does not
/// know which of them concerned it once they are evicted.
#[test]
fn what_was_evicted_before_its_filter_was_watched_is_read_from_the_store() {
    let mut fixture = Fixture::new(0, 4);
    for revision in 1..=4 {
        fixture.publish(revision..=revision, true);
    }
    let since = fixture.publisher.watch(&deleted());
    for revision in 5..=8 {
        fixture.publish(revision..=revision, false);
    }
    for at in 0..since {
        assert_eq!(fixture.parts(at, &deleted(), since), None, "after {at}");
    }
    assert_eq!(fixture.parts(since, &deleted(), since), Some(vec![]));
}

/// Batches that were published while nobody watched the filter have no view of it. Evicting
/// an older batch, which has one, must not hide that.
#[test]
fn filter_that_is_watched_again_misses_no_evicted_change() {
    let mut fixture = Fixture::new(0, 15);
    fixture.publisher.watch(&any());
    (1..=10).for_each(|revision| _ = fixture.publish(revision..=revision, false));
    fixture.publisher.unwatch(&any());
    (11..=20).for_each(|revision| _ = fixture.publish(revision..=revision, false));
    let since = fixture.publisher.watch(&any());
    (21..=30).for_each(|revision| _ = fixture.publish(revision..=revision, false));
    for at in 0..15 {
        assert_eq!(fixture.parts(at, &any(), since), None, "after {at} changes are evicted");
    }
    assert!(fixture.parts(15, &any(), since).is_some());
}

#[test]
fn small_batches_come_together_and_streams_share_them() {
    let mut fixture = Fixture::new(0, 10_000);
    let since = fixture.publisher.watch(&any());
    for revision in 1..=1_000 {
        fixture.publish(revision..=revision, false);
    }
    for at in [0, 1, 7, 100, 511, 512, 999] {
        let parts = fixture.parts(at, &any(), since).unwrap();
        assert!(parts.iter().flat_map(|part| &part.1).copied().eq(at + 1..=1_000));
        assert!(parts.len() <= 2 * GROUP_LEVELS, "{} parts after {at}", parts.len());
    }
    let first = |at| match fixture.log.after(at, &any(), since) {
        Next::Ready(Some(updates), _) => updates,
        _ => panic!("there are updates after {at}"),
    };
    assert!(Arc::ptr_eq(&first(0), &first(0)));
    assert!(first(0).1.len() >= 512);
}

#[test]
fn a_group_is_not_larger_than_an_update_batch() {
    let mut fixture = Fixture::new(0, 100_000);
    let since = fixture.publisher.watch(&any());
    let each = 100;
    for batch in 0..64 {
        fixture.publish(batch * each + 1..=(batch + 1) * each, false);
    }
    for part in fixture.parts(0, &any(), since).unwrap() {
        assert!(part.1.len() <= UPDATE_BATCH_CHANGES_MAX, "{}", part.1.len());
    }
}

/// A stream looks at any moment while batches are published and evicted: it never skips a
/// change, and reads the store only for what was evicted.
#[test]
fn lagging_stream_never_skips_a_change() {
    const CHANGES: Revision = 20_000;
    let mut fixture = Fixture::new(0, 8);
    let since = fixture.publisher.watch(&any());
    let log = fixture.log.clone();
    let stream = std::thread::spawn(move || {
        let (mut at, mut evicted) = (0, 0);
        while at < CHANGES {
            match log.after(at, &any(), since) {
                Next::Ready(Some(updates), up_to) => {
                    assert!(updates.1.iter().copied().eq(at + 1..=up_to));
                    assert!(updates.0 <= at);
                    at = up_to;
                }
                Next::Ready(None, _) => panic!("every change concerns it"),
                Next::CaughtUp => std::thread::yield_now(),
                Next::Evicted => {
                    evicted += 1;
                    at += 1; // as if one change was read from the store
                }
            }
        }
        evicted
    });
    for revision in 1..=CHANGES {
        fixture.publish(revision..=revision, false);
    }
    // Whether it lags depends on the scheduler; that it does not skip does not.
    stream.join().unwrap();
}
