use std::fmt;

use crate::limits::TITLE_CHARS_MAX;

/// A task's title: 1 to [`TITLE_CHARS_MAX`] characters, no control characters, no
/// bidirectional overrides, no outer white space.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Title(Box<str>);

/// Why a text is no title.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TitleError {
    #[error("a title needs at least one character that is not white space")]
    Empty,
    #[error("a title has at most {TITLE_CHARS_MAX} characters, this one has {chars}: shorten it")]
    TooLong { chars: usize },
    #[error(
        "a title cannot hold the control or direction character U+{:04X} (at character {}): remove it",
        *.character as u32, .position
    )]
    Control { character: char, position: usize },
}

impl Title {
    /// Trims outer white space, then checks the rules.
    pub fn new(text: &str) -> Result<Title, TitleError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TitleError::Empty);
        }
        let chars = text.chars().count();
        if chars > TITLE_CHARS_MAX {
            return Err(TitleError::TooLong { chars });
        }
        match text.chars().enumerate().find(|(_, c)| is_forbidden(*c)) {
            Some((at, character)) => Err(TitleError::Control { character, position: at + 1 }),
            None => Ok(Title(text.into())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Control characters (C0, DEL, C1), and the characters that override or embed a
/// writing direction (UAX #9), which could make a title read as something else.
fn is_forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_title_may_be() {
        let long = "é".repeat(TITLE_CHARS_MAX);
        for (text, title) in [
            ("Buy milk", "Buy milk"),
            ("  Buy \u{3000} milk\n", "Buy \u{3000} milk"),
            ("\u{a0}x\u{2003}", "x"),
            ("Don't \"forget\" \\ it", "Don't \"forget\" \\ it"),
            ("قائمة", "قائمة"),
            ("👩\u{200d}👩\u{200d}👧", "👩\u{200d}👩\u{200d}👧"),
            (&long, &long),
        ] {
            assert_eq!(Title::new(text).map(|t| t.to_string()), Ok(title.to_owned()));
        }
    }

    #[test]
    fn what_a_title_may_not_be() {
        for text in ["", " ", "\t\n", "\u{3000}"] {
            assert_eq!(Title::new(text), Err(TitleError::Empty), "{text:?}");
        }
        let chars = TITLE_CHARS_MAX + 1;
        assert_eq!(Title::new(&"é".repeat(chars)), Err(TitleError::TooLong { chars }));
        let c0 = (0..0x20).chain(0x7f..0xa0);
        let overrides = (0x202a..=0x202e).chain(0x2066..=0x2069);
        for character in c0.chain(overrides).filter_map(char::from_u32) {
            let text = format!("ab{character}c");
            assert_eq!(Title::new(&text), Err(TitleError::Control { character, position: 3 }));
        }
    }
}
