use protobuf::Message;

use super::*;
use crate::model::{Action, Timestamp, Title};

fn change(revision: i64, title: &str) -> Change {
    let task = Task {
        id: 1,
        title: Title::new(title).unwrap(),
        deleted: false,
        revision,
        created_at: Timestamp(1),
        updated_at: Timestamp(2),
        completed_at: None,
    };
    Change { action: Action::Updated, task: Arc::new(task), before: None, request_id: None }
}

fn messages(burst: &Burst, max_updates: i32) -> Vec<TaskUpdate> {
    let messages = burst.messages(Packing::new(max_updates).unwrap());
    messages.iter().map(|m| TaskUpdate::parse_from_bytes(m.as_bytes()).unwrap()).collect()
}

/// How many updates each message holds.
fn sizes(burst: &Burst, max_updates: i32) -> Vec<usize> {
    messages(burst, max_updates).iter().map(|message| 1 + message.more.len()).collect()
}

#[test]
fn a_message_holds_what_is_allowed_and_never_more() {
    let changes: Vec<_> = (1..=7).map(|revision| change(revision, "t")).collect();
    let burst = Burst::new(&changes);
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
        assert_eq!(sizes(&burst, max_updates), each, "at most {max_updates}");
    }
    assert_eq!(Packing::new(-1), Err(Rejection::UpdatesPerMessage(-1)));
    assert_eq!(sizes(&Burst::new(&changes[..1]), 1_000), [1]);
    let many: Vec<_> = (1..=2_500).map(|revision| change(revision, "t")).collect();
    assert_eq!(sizes(&Burst::new(&many), 1_000), [1_000, 1_000, 500]);
    assert_eq!(sizes(&Burst::new(&many), 999)[..2], [512, 512]);
}

#[test]
fn packed_updates_are_the_single_ones_in_their_order() {
    let changes: Vec<_> = (1..=300).map(|revision| change(revision, "milk")).collect();
    let burst = Burst::new(&changes);
    let mut unpacked = Vec::new();
    for mut message in messages(&burst, 100) {
        let more = std::mem::take(&mut message.more);
        assert!(more.iter().all(|update| update.more.is_empty()), "never nested");
        unpacked.push(message);
        unpacked.extend(more);
    }
    assert_eq!(unpacked, messages(&burst, 1));
}

#[test]
fn a_message_is_not_larger_than_its_limit() {
    let title = "é".repeat(1_024);
    let changes: Vec<_> = (1..=1_000).map(|revision| change(revision, &title)).collect();
    let burst = Burst::new(&changes);
    let sizes: Vec<_> = burst
        .messages(Packing::new(1_000).unwrap())
        .iter()
        .map(|message| message.as_bytes().len())
        .collect();
    assert!(sizes.iter().all(|size| *size <= PACKED_BYTES_MAX), "{sizes:?}");
    assert!(sizes[0] > PACKED_BYTES_MAX - 2 * 2_048, "it is used: {sizes:?}");
}
