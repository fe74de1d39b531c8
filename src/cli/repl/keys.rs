use std::sync::Arc;

use parking_lot::Mutex;
use rustyline::{
    Cmd, ConditionalEventHandler, Event, EventContext, KeyCode, KeyEvent, Modifiers, RepeatCount,
};

/// The keys that work differently than in rustyline. There, some keys wait for a further
/// key, and no announcement appears before it comes. So the history search is done here,
/// between keys, and the other ones are off. Alt with a digit cannot be replaced.
pub(super) struct Keys(pub(super) Arc<Mutex<Search>>);

impl ConditionalEventHandler for Keys {
    fn handle(
        &self,
        event: &Event,
        _: RepeatCount,
        _: bool,
        context: &EventContext<'_>,
    ) -> Option<Cmd> {
        match *event.get(0)? {
            // Quoted insert, key sequences and character search wait for a key.
            KeyEvent(KeyCode::Char('Q' | 'V' | 'X' | ']'), Modifiers::CTRL)
            | KeyEvent(KeyCode::Char(']'), Modifiers::CTRL_ALT) => Some(Cmd::Noop),
            key => {
                let mut search = self.0.lock();
                search.new_line = search.key(key, context.line())?;
                // No command sets the line and moves the cursor to its end: completion does.
                Some(if search.new_line.is_some() { Cmd::Complete } else { Cmd::Noop })
            }
        }
    }
}

/// Ctrl-R: searches the history for lines that contain what is typed.
#[derive(Default)]
pub(super) struct Search {
    /// The history, oldest first.
    lines: Vec<String>,
    running: Option<Running>,
    /// Replaces the line, as the only candidate of a completion.
    pub(super) new_line: Option<String>,
}

/// A search that continues while the line is the one that it found.
struct Running {
    query: String,
    found: usize,
    /// The line before the search.
    typed: String,
}

impl Search {
    pub(super) fn remember(&mut self, line: &str) {
        self.lines.push(line.to_owned());
    }

    /// Returns what to show behind the line during a search.
    pub(super) fn hint(&self, line: &str) -> Option<String> {
        let running = self.running.as_ref().filter(|running| self.lines[running.found] == line)?;
        Some(format!("  (search: {})", running.query))
    }

    /// Returns the new line, or `Some(None)` to ignore the key. `None`: the key does what it
    /// always does, and ends the search.
    fn key(&mut self, key: KeyEvent, line: &str) -> Option<Option<String>> {
        let running = self.running.take().filter(|running| self.lines[running.found] == line);
        let Some(mut search) = running else {
            let is_start = key == KeyEvent::ctrl('R');
            return is_start.then(|| self.find(line.to_owned(), self.lines.len(), line.to_owned()));
        };
        match key {
            KeyEvent(KeyCode::Char('R'), Modifiers::CTRL) => {
                self.find_or_stay(search.query.clone(), search.found, search)
            }
            KeyEvent(KeyCode::Char(c), Modifiers::NONE) => {
                let query = format!("{}{c}", search.query);
                self.find_or_stay(query, search.found + 1, search)
            }
            KeyEvent(KeyCode::Backspace, _) | KeyEvent(KeyCode::Char('H'), Modifiers::CTRL) => {
                search.query.pop();
                self.find_or_stay(search.query.clone(), self.lines.len(), search)
            }
            KeyEvent(KeyCode::Esc, _) | KeyEvent(KeyCode::Char('G'), Modifiers::CTRL) => {
                Some(Some(search.typed))
            }
            _ => None,
        }
    }

    fn find_or_stay(&mut self, query: String, end: usize, last: Running) -> Option<Option<String>> {
        let line = self.find(query, end, last.typed.clone());
        if line.is_none() {
            self.running = Some(last);
        }
        Some(line)
    }

    /// Finds the newest line before `end`.
    fn find(&mut self, query: String, end: usize, typed: String) -> Option<String> {
        let found = self.lines[..end].iter().rposition(|line| line.contains(&query))?;
        self.running = Some(Running { query, found, typed });
        Some(self.lines[found].clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CTRL_R: KeyEvent = KeyEvent(KeyCode::Char('R'), Modifiers::CTRL);

    #[test]
    fn a_search_starts_with_the_line_and_follows_the_keys() {
        let mut search = Search::default();
        for line in ["add milk", "done 1", "add oat milk", "list"] {
            search.remember(line);
        }
        let char = |c| KeyEvent(KeyCode::Char(c), Modifiers::NONE);
        let backspace = KeyEvent(KeyCode::Backspace, Modifiers::NONE);
        let escape = KeyEvent(KeyCode::Esc, Modifiers::NONE);
        let mut line = "typed".to_owned();
        // `=`: the key is ignored.
        for (key, expected) in
            [(CTRL_R, "="), (char('x'), "default"), (KeyEvent::ctrl('G'), "default")]
        {
            assert_eq!(shown(search.key(key, &line)), expected, "{key:?}");
        }
        line.clear();
        for (key, expected, hint) in [
            (CTRL_R, "list", "  (search: )"),
            (char('m'), "add oat milk", "  (search: m)"),
            (char('i'), "add oat milk", "  (search: mi)"),
            (char('x'), "=", "  (search: mi)"),
            (CTRL_R, "add milk", "  (search: mi)"),
            (CTRL_R, "=", "  (search: mi)"),
            (backspace, "add oat milk", "  (search: m)"),
            (escape, "", ""),
            (CTRL_R, "list", "  (search: )"),
            (KeyEvent(KeyCode::Enter, Modifiers::NONE), "default", ""),
            (char('x'), "default", ""),
        ] {
            let answer = shown(search.key(key, &line));
            assert_eq!(answer, expected, "{key:?}");
            if !["=", "default"].contains(&&*answer) {
                line = answer;
            }
            assert_eq!(search.hint(&line).unwrap_or_default(), hint, "{key:?}");
        }
    }

    #[test]
    fn an_edit_of_the_found_line_ends_the_search() {
        let mut search = Search::default();
        search.remember("add milk");
        assert_eq!(shown(search.key(CTRL_R, "mil")), "add milk");
        assert_eq!(search.hint("add mil"), None);
        assert_eq!(
            shown(search.key(KeyEvent(KeyCode::Esc, Modifiers::NONE), "add mil")),
            "default"
        );
    }

    fn shown(answer: Option<Option<String>>) -> String {
        match answer {
            None => "default".to_owned(),
            Some(None) => "=".to_owned(),
            Some(Some(line)) => line,
        }
    }
}
