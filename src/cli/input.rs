use std::io::{self, BufRead, Read};

use crate::limits::INPUT_LINE_BYTES_MAX;

/// Some editors start a text file with this character. It is not part of the text.
pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';

/// A line of a pipe that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    #[error("not UTF-8: convert the text, for example with iconv")]
    NotUtf8,
    #[error("longer than {INPUT_LINE_BYTES_MAX} bytes: shorten the line")]
    TooLong,
}

/// The lines of a text, without their ends and without a byte order mark.
pub(crate) struct Lines {
    /// The number of the last line that was read, from 1.
    pub(crate) number: u64,
}

impl Lines {
    pub(crate) fn new() -> Lines {
        Lines { number: 0 }
    }

    /// Reads the next line; `None` after the last. The same text must be passed each time.
    pub(crate) fn next(
        &mut self,
        from: &mut impl BufRead,
    ) -> io::Result<Option<Result<String, LineError>>> {
        let mut bytes = Vec::new();
        let bytes_max = INPUT_LINE_BYTES_MAX as u64 + 1;
        if from.by_ref().take(bytes_max).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        } else if bytes.len() > INPUT_LINE_BYTES_MAX {
            from.skip_until(b'\n')?;
            return Ok(Some(Err(LineError::TooLong)));
        }
        let mut line = String::from_utf8(bytes).map_err(|_| LineError::NotUtf8);
        if let (1, Ok(line)) = (self.number, &mut line)
            && line.starts_with(BYTE_ORDER_MARK)
        {
            line.remove(0);
        }
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut input: &[u8]) -> Vec<Result<String, LineError>> {
        let mut lines = Lines::new();
        let mut read = Vec::new();
        while let Some(line) = lines.next(&mut input).unwrap() {
            read.push(line);
        }
        assert_eq!(lines.number, read.len() as u64);
        read
    }

    #[test]
    fn lines_of_all_kinds() {
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"a\n\nb\r\nc"), [ok("a"), ok(""), ok("b"), ok("c")]);
        assert_eq!(lines(b"\xff\nnext\n"), [Err(LineError::NotUtf8), ok("next")]);
    }

    #[test]
    fn only_the_first_line_has_a_byte_order_mark() {
        let ok = |text: &str| Ok(text.to_owned());
        let input = "\u{feff}a\n\u{feff}b\n";
        assert_eq!(lines(input.as_bytes()), [ok("a"), ok("\u{feff}b")]);
        assert_eq!(lines("\u{feff}".as_bytes()), [ok("")]);
    }

    #[test]
    fn a_line_has_a_limit() {
        let longest = "x".repeat(INPUT_LINE_BYTES_MAX);
        for (text, line) in [
            (longest.clone(), Ok(longest.clone())),
            (format!("{longest}x"), Err(LineError::TooLong)),
            (longest.repeat(3), Err(LineError::TooLong)),
        ] {
            assert_eq!(lines(format!("{text}\nnext").as_bytes()), [line, Ok("next".to_owned())]);
        }
    }
}
