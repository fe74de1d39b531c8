//! The record of a task: the encoded wire message `Task`. The same bytes are in the store,
//! in updates and in listings.

use protobuf::well_known_types::timestamp;
use protobuf::{Message, MessageField};

use super::proto;
use crate::model::{Task, Timestamp, Title, TitleError};

const MICROS_PER_SECOND: i64 = 1_000_000;
const NANOS_PER_MICRO: i32 = 1_000;

/// Why bytes are not the record of a task.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("it is not an encoded task: {0}")]
    Encoding(#[from] protobuf::Error),
    #[error("field {0} of the task is unknown: a newer version wrote it, use that version")]
    UnknownField(u32),
    #[error("{0}")]
    Title(#[from] TitleError),
    #[error("field {field} of the task cannot be {value}")]
    Value { field: &'static str, value: String },
}

/// The task as a message.
pub fn to_message(task: &Task) -> proto::Task {
    // A field that is missing here would be lost on disk.
    let Task { id, title, deleted, revision, created_at, updated_at, completed_at } = task;
    proto::Task {
        id: *id,
        title: title.to_string(),
        completed: task.completed(),
        revision: *revision,
        created_at: MessageField::some(timestamp(*created_at)),
        updated_at: MessageField::some(timestamp(*updated_at)),
        completed_at: completed_at.map(timestamp).into(),
        deleted: *deleted,
        ..Default::default()
    }
}

/// The record of the task. Equal tasks have equal records.
pub fn encode(task: &Task) -> Vec<u8> {
    let encoded = to_message(task).write_to_bytes();
    debug_assert!(encoded.as_ref().is_ok_and(|record| record.len() <= task.weight()));
    // Writing to memory fails only above 2 GiB. An empty record is not one of a task, so
    // even then no reader would take it for one.
    encoded.unwrap_or_default()
}

/// The task of a record. Checks every rule of a task again, and refuses fields that this
/// version does not know: it would lose them with the task's next change.
pub fn decode(record: &[u8]) -> Result<Task, RecordError> {
    let message = proto::Task::parse_from_bytes(record)?;
    refuse_unknown(&message)?;
    let task = Task {
        id: at_least("id", 1, message.id)?,
        title: Title::stored(&message.title)?,
        deleted: message.deleted,
        revision: at_least("revision", 1, message.revision)?,
        created_at: required("created_at", &message.created_at)?,
        updated_at: required("updated_at", &message.updated_at)?,
        completed_at: from_timestamp("completed_at", &message.completed_at)?,
    };
    if message.completed != task.completed() {
        return Err(wrong("completed", message.completed));
    }
    if task.updated_at < task.created_at {
        return Err(wrong("updated_at", format!("before {}", task.created_at.0)));
    }
    Ok(task)
}

/// The time as a message.
pub fn timestamp(at: Timestamp) -> timestamp::Timestamp {
    timestamp::Timestamp {
        seconds: at.0.div_euclid(MICROS_PER_SECOND),
        nanos: at.0.rem_euclid(MICROS_PER_SECOND) as i32 * NANOS_PER_MICRO,
        ..Default::default()
    }
}

fn from_timestamp(
    field: &'static str,
    message: &MessageField<timestamp::Timestamp>,
) -> Result<Option<Timestamp>, RecordError> {
    let Some(message) = message.as_ref() else { return Ok(None) };
    refuse_unknown(message)?;
    let timestamp::Timestamp { seconds, nanos, .. } = *message;
    let whole = nanos % NANOS_PER_MICRO == 0 && (0..1_000_000_000).contains(&nanos);
    let micros = seconds
        .checked_mul(MICROS_PER_SECOND)
        .and_then(|micros| micros.checked_add(i64::from(nanos / NANOS_PER_MICRO)));
    match micros {
        Some(micros) if whole => Ok(Some(Timestamp(micros))),
        Some(_) | None => Err(wrong(field, format!("{seconds} s and {nanos} ns"))),
    }
}

fn required(
    field: &'static str,
    message: &MessageField<timestamp::Timestamp>,
) -> Result<Timestamp, RecordError> {
    from_timestamp(field, message)?.ok_or_else(|| wrong(field, "absent"))
}

fn refuse_unknown(message: &impl Message) -> Result<(), RecordError> {
    match message.special_fields().unknown_fields().iter().next() {
        Some((number, _)) => Err(RecordError::UnknownField(number)),
        None => Ok(()),
    }
}

fn at_least<T: PartialOrd + std::fmt::Display>(
    field: &'static str,
    min: T,
    value: T,
) -> Result<T, RecordError> {
    if value < min { Err(wrong(field, value)) } else { Ok(value) }
}

fn wrong(field: &'static str, value: impl std::fmt::Display) -> RecordError {
    RecordError::Value { field, value: value.to_string() }
}

#[cfg(test)]
mod tests {
    use protobuf::MessageFull as _;

    use super::*;
    use crate::limits::TITLE_CHARS_MAX;

    fn task(title: &str) -> Task {
        Task {
            id: 7,
            title: Title::new(title).unwrap(),
            deleted: false,
            revision: 12,
            created_at: Timestamp(1_000_001),
            updated_at: Timestamp(2_000_000),
            completed_at: None,
        }
    }

    fn tasks() -> Vec<Task> {
        let extreme = |micros| Task {
            id: i32::MAX,
            title: Title::new(&"👩".repeat(TITLE_CHARS_MAX)).unwrap(),
            deleted: true,
            revision: i64::MAX,
            created_at: Timestamp(micros),
            updated_at: Timestamp(micros),
            completed_at: Some(Timestamp(micros)),
        };
        vec![
            task("milk"),
            Task { deleted: true, ..task("Brød 👩‍👧") },
            Task { completed_at: Some(Timestamp(0)), ..task("می\u{200c}خواهم") },
            Task { created_at: Timestamp(-1), updated_at: Timestamp(-1), ..task("1969") },
            extreme(i64::MIN + 999_999),
            extreme(-1),
            extreme(i64::MAX),
        ]
    }

    #[test]
    fn some_task_here_sets_each_field_of_the_message() {
        let messages: Vec<proto::Task> = tasks().iter().map(to_message).collect();
        for field in proto::Task::descriptor().fields() {
            let is_set = messages.iter().any(|message| field.has_field(message));
            assert!(is_set, "no record here holds the field {}", field.name());
        }
    }

    #[test]
    fn records_are_read_back_and_weigh_no_more_than_the_task() {
        for task in tasks() {
            let record = encode(&task);
            assert_eq!(decode(&record).unwrap(), task);
            assert_eq!(record, encode(&task.clone()), "deterministic");
            assert!(record.len() <= task.weight(), "{} of {}", record.len(), task.weight());
        }
    }

    #[test]
    fn stored_records_never_change() {
        let task = Task { completed_at: Some(Timestamp(2_000_000)), ..task("milk") };
        let record = b"\x08\x07\x12\x04milk\x18\x01\x20\x0c\x2a\x05\x08\x01\x10\xe8\x07\x32\x02\x08\x02\x3a\x02\x08\x02";
        assert_eq!(encode(&task), record);
    }

    #[test]
    fn records_that_break_a_rule_are_refused() {
        type Break = fn(&mut proto::Task);
        let broken: &[(Break, &str)] = &[
            (|task| task.id = 0, "field id of the task cannot be 0"),
            (|task| task.revision = -3, "field revision of the task cannot be -3"),
            (|task| task.title = String::new(), "a title needs at least one visible character"),
            (|task| task.title += " ", "a title cannot begin or end with white space"),
            (
                |task| task.title = "a\nb".to_owned(),
                "a title cannot contain the control or direction character U+000A (at \
                 character 2): remove it",
            ),
            (|task| task.completed = true, "field completed of the task cannot be true"),
            (
                |task| task.created_at = MessageField::none(),
                "field created_at of the task cannot be absent",
            ),
            (
                |task| task.created_at.as_mut().unwrap().seconds = 3,
                "field updated_at of the task cannot be before 3000001",
            ),
            (
                |task| task.updated_at.as_mut().unwrap().nanos = 1,
                "field updated_at of the task cannot be 2 s and 1 ns",
            ),
            (
                |task| task.updated_at.as_mut().unwrap().nanos = -1_000,
                "field updated_at of the task cannot be 2 s and -1000 ns",
            ),
            (
                |task| task.updated_at.as_mut().unwrap().seconds = i64::MAX,
                "field updated_at of the task cannot be 9223372036854775807 s and 0 ns",
            ),
            (
                |task| task.mut_unknown_fields().add_varint(99, 1),
                "field 99 of the task is unknown: a newer version wrote it, use that version",
            ),
        ];
        for (break_it, expected) in broken {
            let mut message = to_message(&task("milk"));
            break_it(&mut message);
            let record = message.write_to_bytes().unwrap();
            assert_eq!(decode(&record).unwrap_err().to_string(), *expected);
        }
        for no_record in [&b""[..], b"\xff", &encode(&task("milk"))[..9]] {
            decode(no_record).unwrap_err();
        }
    }

    /// Lists from before the rule about visible characters may have such titles.
    #[test]
    fn invisible_titles_of_old_lists_are_read() {
        let mut message = to_message(&task("milk"));
        message.title = "\u{200b}".to_owned();
        assert_eq!(decode(&message.write_to_bytes().unwrap()).unwrap().title.as_str(), "\u{200b}");
    }
}
