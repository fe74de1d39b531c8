use protobuf::Message;

use super::*;
use crate::model::{Action, Timestamp, Title};

fn change(revision: i64, title: &str) -> RecordedChange {
    let task = Task {
        id: 1,
        title: Title::new(title).unwrap(),
        deleted: false,
        revision,
        created_at: Timestamp(1),
        updated_at: Timestamp(2),
        completed_at: None,
    };
    let change = Change {
        action: Action::Updated,
        task_id: 1,
        revision,
        batch_revision: revision,
        at: Timestamp(2),
        before: None,
        after: Some(Arc::new(task)),
        request_id: RequestId::new("r").unwrap(),
    };
    change.into()
}

fn batch(changes: &[RecordedChange]) -> UpdateBatch {
    UpdateBatch::encode(changes[0].change.revision - 1, &changes.iter().collect::<Vec<_>>())
}

fn messages(batch: &UpdateBatch, max_updates: i32) -> Vec<TaskUpdate> {
    let messages = batch.messages(Packing::new(max_updates).unwrap());
    messages.iter().map(|m| TaskUpdate::parse_from_bytes(m.as_bytes()).unwrap()).collect()
}

/// How many updates each message holds.
fn sizes(batch: &UpdateBatch, max_updates: i32) -> Vec<usize> {
    messages(batch, max_updates).iter().map(|message| 1 + message.more.len()).collect()
}

#[test]
fn an_update_is_the_message_that_it_stands_for() {
    let changes = [change(8, "milk"), change(9, "bread")];
    let expected = changes.iter().zip([5, 8]).map(|(recorded, previous_revision)| {
        let change = &recorded.change;
        TaskUpdate {
            task: MessageField::some(record::to_message(change.after.as_ref().unwrap())),
            action: "UPDATED".to_owned(),
            revision: change.revision,
            request_id: "r".to_owned(),
            previous_revision,
            batch_revision: change.revision,
            ..Default::default()
        }
    });
    let batch = UpdateBatch::encode(5, &changes.iter().collect::<Vec<_>>());
    assert_eq!(messages(&batch, 0), expected.collect::<Vec<_>>());
}

#[test]
fn a_purge_carries_the_id_and_the_revision_only() {
    let mut recorded = change(8, "secret");
    recorded.change.action = Action::Purged;
    recorded.change.after = None;
    let [update] = &messages(&batch(&[recorded]), 0)[..] else { panic!("one update") };
    let task = proto::Task { id: 1, revision: 8, ..Default::default() };
    assert_eq!((&*update.action, &*update.task), ("PURGED", &task));
}

/// A client at revision P accepts an update whose previous revision is at most P. One that
/// was sent nothing for long is behind the position of its stream.
#[test]
fn the_first_update_is_made_for_the_client() {
    let changes = [change(8, "milk"), change(9, "bread")];
    let shared = Arc::new(UpdateBatch::encode(7, &changes.iter().collect::<Vec<_>>()));
    for (client_at, previous) in [(7, 7), (100, 7), (6, 6), (0, 0)] {
        let batch = shared.clone().for_client_at(client_at);
        let previous_revisions: Vec<_> =
            messages(&batch, 0).iter().map(|update| update.previous_revision).collect();
        assert_eq!(previous_revisions, [previous, 8], "client at {client_at}");
        let without = |batch: &UpdateBatch| {
            let mut messages = messages(batch, 1_000);
            messages[0].previous_revision = 0;
            messages
        };
        assert_eq!(without(&batch), without(&shared), "nothing else differs");
        assert_eq!(Arc::ptr_eq(&batch, &shared), previous == 7, "shared where possible");
    }
}

#[test]
fn batches_join_in_order() {
    let parts = [[change(3, "a")], [change(4, "b")]].map(|changes| Arc::new(batch(&changes)));
    let joined = Arc::new(UpdateBatch::concat(&parts));
    let single: Vec<_> = parts.iter().flat_map(|part| messages(part, 0)).collect();
    assert_eq!(messages(&joined, 0), single);
    assert_eq!((parts[0].last(), joined.last()), (3, 4), "where the client is then");
    let for_client = joined.for_client_at(1);
    assert_eq!((messages(&for_client, 0)[0].previous_revision, for_client.last()), (1, 4));
}

#[test]
fn a_message_holds_at_most_the_requested_updates() {
    let changes: Vec<_> = (1..=7).map(|revision| change(revision, "t")).collect();
    let seven = batch(&changes);
    for (max_updates, each) in [
        (0, &[1; 7][..]),
        (1, &[1; 7]),
        (2, &[2, 2, 2, 1]),
        (3, &[2, 2, 2, 1]),
        (4, &[4, 3]),
        (7, &[4, 3]),
        (8, &[7]),
        (1_000, &[7]),
        (i32::MAX, &[7]),
    ] {
        assert_eq!(sizes(&seven, max_updates), each, "at most {max_updates}");
    }
    assert_eq!(Packing::new(-1), Err(RequestError::UpdatesPerMessage(-1)));
    assert_eq!(sizes(&batch(&changes[..1]), 1_000), [1]);
    let many: Vec<_> = (1..=2_500).map(|revision| change(revision, "t")).collect();
    let many = batch(&many);
    assert_eq!(sizes(&many, 1_000), [1_000, 1_000, 500]);
    assert_eq!(sizes(&many, 999)[..2], [512, 512]);
}

#[test]
fn packed_updates_are_the_single_ones_in_their_order() {
    let changes: Vec<_> = (1..=300).map(|revision| change(revision, "milk")).collect();
    let batch = batch(&changes);
    let mut unpacked = Vec::new();
    for mut message in messages(&batch, 100) {
        let more = std::mem::take(&mut message.more);
        assert!(more.iter().all(|update| update.more.is_empty()), "never nested");
        unpacked.push(message);
        unpacked.extend(more);
    }
    assert_eq!(unpacked, messages(&batch, 1));
}

#[test]
fn a_message_is_not_larger_than_its_limit() {
    let title = "é".repeat(1_024);
    let changes: Vec<_> = (1..=1_000).map(|revision| change(revision, &title)).collect();
    let batch = batch(&changes);
    let sizes: Vec<_> = batch
        .messages(Packing::new(1_000).unwrap())
        .iter()
        .map(|message| message.as_bytes().len())
        .collect();
    assert!(sizes.iter().all(|size| *size <= PACKED_BYTES_MAX), "{sizes:?}");
    assert!(sizes[0] > PACKED_BYTES_MAX - 2 * 2_048, "it is used: {sizes:?}");
}
