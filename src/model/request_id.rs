use std::fmt;
use std::sync::Arc;

use super::{Edit, Guard, Mutation, Task};
use crate::limits::REQUEST_ID_CHARS_MAX;

/// A client's name for one change, by which a repeat is known: 1 to
/// [`REQUEST_ID_CHARS_MAX`] visible ASCII characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

/// Why a text is no request id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestIdError {
    #[error(
        "a request_id has at most {REQUEST_ID_CHARS_MAX} characters, this one has {chars}: a UUID fits"
    )]
    TooLong { chars: usize },
    #[error(
        "a request_id is made of visible ASCII characters, {character:?} (at character {position}) is none"
    )]
    NotVisibleAscii { character: char, position: usize },
}

impl RequestId {
    /// `None` for the empty text: proto3's way to say that the field is not set.
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
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A request id with what it stands for and what it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    pub request_id: RequestId,
    /// [`Remembered::content`] of the request.
    pub content: String,
    /// The task as the first answer showed it.
    pub answer: Arc<Task>,
}

impl Remembered {
    /// What a request says, whatever its bytes: the method, the normalised mutation
    /// and the guard. Two requests with one id must agree in this. Stored, so its
    /// form must never change.
    pub fn content(mutation: &Mutation, guard: &Guard) -> String {
        let expected = guard.expected_revision.map_or_else(String::new, |r| r.to_string());
        match mutation {
            Mutation::Add { title } => format!("add {expected} {title}"),
            Mutation::Edit { id, edit } => match edit {
                Edit::Complete => format!("complete {expected} {id}"),
                Edit::Reopen => format!("reopen {expected} {id}"),
                Edit::Delete => format!("delete {expected} {id}"),
                Edit::Restore => format!("restore {expected} {id}"),
                Edit::Retitle(title) => format!("retitle {expected} {id} {title}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_id_may_be() {
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
}
