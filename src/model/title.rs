use std::fmt;

use crate::limits::TITLE_CHARS_MAX;

/// A task's title: 1 to [`TITLE_CHARS_MAX`] characters, at least one of them visible; no
/// control characters, no bidirectional overrides, no outer white space.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Title(Box<str>);

/// Why a text is not a title.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TitleError {
    #[error("a title needs at least one visible character")]
    Empty,
    #[error("a title cannot begin or end with white space")]
    OuterSpace,
    #[error("a title has at most {TITLE_CHARS_MAX} characters, this one has {chars}: shorten it")]
    TooLong { chars: usize },
    #[error(
        "a title cannot contain the control or direction character U+{:04X} (at character {}): remove it",
        *.character as u32, .position
    )]
    Control { character: char, position: usize },
}

impl Title {
    /// Trims outer white space, then checks the rules.
    pub fn new(text: &str) -> Result<Title, TitleError> {
        let text = text.trim();
        match text.chars().any(is_visible) {
            true => Title::stored(text),
            false => Err(TitleError::Empty),
        }
    }

    /// A title as it was stored: nothing is trimmed. Lists from before the rule about
    /// visible characters may have titles without one.
    pub fn stored(text: &str) -> Result<Title, TitleError> {
        if text.is_empty() {
            return Err(TitleError::Empty);
        }
        if text.trim().len() != text.len() {
            return Err(TitleError::OuterSpace);
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

/// Whether the character leaves a mark. White space does not, nor the braille blank, nor
/// Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt, Unicode 16).
fn is_visible(c: char) -> bool {
    !c.is_whitespace()
        && !c.is_control()
        && !matches!(c,
            '\u{2800}' // BRAILLE PATTERN BLANK
            | '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
            | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
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
    fn valid_titles_are_trimmed() {
        let long = "é".repeat(TITLE_CHARS_MAX);
        for (text, title) in [
            ("Buy milk", "Buy milk"),
            ("  Buy \u{3000} milk\n", "Buy \u{3000} milk"),
            ("\u{a0}x\u{2003}", "x"),
            ("Don't \"forget\" \\ it", "Don't \"forget\" \\ it"),
            ("قائمة", "قائمة"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("\u{feff}x", "\u{feff}x"),
            ("👩\u{200d}👩\u{200d}👧", "👩\u{200d}👩\u{200d}👧"),
            (&long, &long),
        ] {
            assert_eq!(Title::new(text).map(|t| t.to_string()), Ok(title.to_owned()));
        }
    }

    #[test]
    fn invalid_titles_are_refused() {
        let invisible = [
            "\u{200b}",
            "\u{2060}",
            "\u{feff}",
            "\u{200e}",
            "\u{ad}",
            "\u{2800}",
            "\u{3164}",
            "\u{200d}",
            "\u{200c}",
            "\u{fe0f}",
            "\u{e0041}",
            "\u{ffa0} \u{200b}",
        ];
        for text in ["", " ", "\t\n", "\u{3000}"].into_iter().chain(invisible) {
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
