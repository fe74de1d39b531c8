use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::{Answer, Edit, Mutation, Request, TaskFields, TaskPatch};
use crate::limits::REQUEST_ID_CHARS_MAX;

/// A client's name for one request, by which a repeat is recognised: 1 to
/// [`REQUEST_ID_CHARS_MAX`] visible ASCII characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

/// Why a text is not a request id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestIdError {
    #[error(
        "a request_id has at most {REQUEST_ID_CHARS_MAX} characters, this one has {chars}: a UUID fits"
    )]
    TooLong { chars: usize },
    #[error(
        "a request_id consists of visible ASCII characters: replace {character:?} (at character {position})"
    )]
    NotVisibleAscii { character: char, position: usize },
}

impl RequestId {
    /// `None` for the empty text, which in proto3 means that the field is not set.
    pub fn new(text: &str) -> Result<Option<RequestId>, RequestIdError> {
        let visible = |c: &char| ('!'..='~').contains(c);
        if let Some((at, character)) = text.chars().enumerate().find(|(_, c)| !visible(c)) {
            return Err(RequestIdError::NotVisibleAscii { character, position: at + 1 });
        }
        match text.len() {
            0 => Ok(None),
            1..=REQUEST_ID_CHARS_MAX => Ok(Some(RequestId(text.into()))),
            chars => Err(RequestIdError::TooLong { chars }),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A hash of the id, the same within one process and for the same text.
    pub fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        Hash::hash(&*self.0, &mut hasher);
        hasher.finish()
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// What a request id stands for, and what it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    pub request_id: RequestId,
    pub fingerprint: Fingerprint,
    /// The first answer.
    pub answer: Answer,
}

impl IdempotencyRecord {
    /// Whether it is the record of a request with this fingerprint. The fields of a request
    /// whose task was purged are no longer known, and are not compared.
    pub fn is_of(&self, fingerprint: &Fingerprint) -> bool {
        let Fingerprint(kept) = &self.fingerprint;
        match self.answer {
            Answer::Task(_) => self.fingerprint == *fingerprint,
            Answer::Purged { .. } => **kept == *Fingerprint::without_content(&fingerprint.0),
        }
    }

    /// Removes the content of a purged task.
    pub fn purge(&mut self) {
        let Fingerprint(kept) = &self.fingerprint;
        self.fingerprint = Fingerprint(Fingerprint::without_content(kept).into());
        if let Answer::Task(task) = &self.answer {
            self.answer = Answer::Purged { id: task.id, revision: task.revision };
        }
    }
}

/// What a request asks for, as a canonical encoding: two requests with one id must have the
/// same. Stored, so an encoding of one version never changes.
///
/// A version byte, an operation byte, the task id and the expected revision (8 bytes each,
/// big endian; 0 and -1 if absent), then each field that is set: its number in the message
/// `Task` (1 byte), its length in bytes (4 bytes, big endian), its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(pub Box<[u8]>);

impl Fingerprint {
    const VERSION: u8 = 1;
    /// The bytes before the fields.
    const FIELDS_AT: usize = 18;

    /// The encoding without the fields.
    pub fn without_content(bytes: &[u8]) -> &[u8] {
        bytes.get(..Fingerprint::FIELDS_AT).unwrap_or(bytes)
    }

    pub fn new(request: &Request) -> Fingerprint {
        let (operation, id, title) = match &request.mutation {
            Mutation::Add(TaskFields { title }) => (b'A', 0, Some(title)),
            Mutation::Edit { id, edit } => match edit {
                Edit::Complete => (b'C', *id, None),
                Edit::Reopen => (b'O', *id, None),
                Edit::Delete => (b'D', *id, None),
                Edit::Restore => (b'R', *id, None),
                Edit::Purge => (b'P', *id, None),
                Edit::Update(TaskPatch { title }) => (b'U', *id, title.as_ref()),
            },
        };
        let mut bytes = vec![Fingerprint::VERSION, operation];
        bytes.extend(i64::from(id).to_be_bytes());
        bytes.extend(request.precondition.expected_revision.unwrap_or(-1).to_be_bytes());
        if let Some(title) = title {
            let title = title.as_str().as_bytes();
            bytes.push(TITLE_FIELD);
            bytes.extend((title.len() as u32).to_be_bytes());
            bytes.extend(title);
        }
        Fingerprint(bytes.into())
    }
}

/// The number of `Task.title`.
const TITLE_FIELD: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Precondition, Title};

    #[test]
    fn request_ids_are_short_visible_ascii() {
        let longest = "x".repeat(REQUEST_ID_CHARS_MAX);
        for text in ["a", "!~", "6f1c1e0e-6b0a-4d51-9d2c-0d4c1f3f8c11", &longest] {
            let id = RequestId::new(text).expect(text).expect(text);
            assert_eq!(id.as_str(), text);
        }
        assert_eq!(RequestId::new(""), Ok(None));
        let chars = REQUEST_ID_CHARS_MAX + 1;
        assert_eq!(RequestId::new(&"x".repeat(chars)), Err(RequestIdError::TooLong { chars }));
        for character in [' ', '\n', '\u{7f}', 'é'] {
            assert_eq!(
                RequestId::new(&format!("a{character}")),
                Err(RequestIdError::NotVisibleAscii { character, position: 2 })
            );
        }
    }

    #[test]
    fn fingerprints_differ_exactly_where_requests_do() {
        let title = |text| Title::new(text).unwrap();
        let edit = |id, edit| Mutation::Edit { id, edit };
        let update = |text| Edit::Update(TaskPatch { title: Some(title(text)) });
        let mutations = [
            Mutation::Add(TaskFields { title: title("a") }),
            Mutation::Add(TaskFields { title: title("b") }),
            edit(1, Edit::Complete),
            edit(2, Edit::Complete),
            edit(1, Edit::Reopen),
            edit(1, Edit::Delete),
            edit(1, Edit::Restore),
            edit(1, Edit::Purge),
            edit(1, update("a")),
            edit(1, update("b")),
        ];
        let mut requests: Vec<Request> = Vec::new();
        for mutation in mutations {
            for expected_revision in [None, Some(0), Some(7)] {
                let precondition = Precondition { expected_revision };
                requests.push(Request { precondition, ..mutation.clone().into() });
            }
        }
        for (i, a) in requests.iter().enumerate() {
            for (j, b) in requests.iter().enumerate() {
                assert_eq!(Fingerprint::new(a) == Fingerprint::new(b), i == j, "{a:?} {b:?}");
            }
        }
        let milk = Request {
            precondition: Precondition { expected_revision: Some(3) },
            ..edit(258, update("Milk")).into()
        };
        let stored = b"\x01U\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x03\x02\0\0\0\x04Milk";
        assert_eq!(&*Fingerprint::new(&milk).0, stored, "stored fingerprints never change");
    }
}
