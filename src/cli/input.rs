use std::io::{self, BufRead, Read};

use crate::limits::INPUT_LINE_BYTES_MAX;

/// A line of a pipe that is no text for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("it is not UTF-8")]
    NotUtf8,
    #[error("it has more than {INPUT_LINE_BYTES_MAX} bytes")]
    TooLong,
}

/// The next line without its end; `None` after the last.
pub fn next_line(from: &mut impl BufRead) -> io::Result<Option<Result<String, LineError>>> {
    let mut bytes = Vec::new();
    let most = INPUT_LINE_BYTES_MAX as u64 + 1;
    if from.by_ref().take(most).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    } else if bytes.len() > INPUT_LINE_BYTES_MAX {
        from.skip_until(b'\n')?;
        return Ok(Some(Err(LineError::TooLong)));
    }
    Ok(Some(String::from_utf8(bytes).map_err(|_| LineError::NotUtf8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut input: &[u8]) -> Vec<Result<String, LineError>> {
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut input).unwrap() {
            lines.push(line);
        }
        lines
    }

    #[test]
    fn lines_of_all_kinds() {
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"a\n\nb\r\nc"), [ok("a"), ok(""), ok("b"), ok("c")]);
        assert_eq!(lines(b"\xff\nnext\n"), [Err(LineError::NotUtf8), ok("next")]);
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
