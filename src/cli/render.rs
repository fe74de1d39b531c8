use std::fmt::{self, Write};

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::client::{self, proto};

const BOLD: Style = Style::new().bold();
const DONE: Style = AnsiColor::Green.on_default();
const DELETED: Style = AnsiColor::Red.on_default();

/// Text from others, such that it cannot move the cursor, colour the screen or turn
/// the line around: what could is shown as `\u{1b}`.
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_hostile(*c)) {
            write!(f, "{}{}", &rest[..at], c.escape_unicode())?;
            rest = &rest[at + c.len_utf8()..];
        }
        f.write_str(rest)
    }
}

/// Control characters, line and paragraph separators, bidirectional overrides.
fn is_hostile(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// A task as a line of JSON, safe to show: beyond ASCII, JSON has text only within
/// strings, where any character may be escaped.
pub fn json(task: &proto::Task) -> String {
    json_shown(client::json(task))
}

/// An update as a line of JSON, safe to show.
pub fn update_json(update: &proto::TaskUpdate) -> String {
    json_shown(client::json(update))
}

fn json_shown(json: String) -> String {
    if !json.contains(is_hostile) {
        return json;
    }
    json.chars().fold(String::with_capacity(json.len()), |mut shown, c| {
        if is_hostile(c) {
            // They all have four digits. Writing to a String cannot fail.
            let _ = write!(shown, "\\u{:04x}", c as u32);
        } else {
            shown.push(c);
        }
        shown
    })
}

/// `7 Buy milk`
pub fn brief(task: &proto::Task) -> String {
    format!("{} {}", task.id, Shown(&task.title))
}

/// Above the rows of [`row`].
pub fn header() -> String {
    format!("{BOLD}{:>6}  {:9}  {}{BOLD:#}", "ID", "STATE", "TITLE")
}

/// A task's row in the table. The layout is fixed: rows come page by page.
pub fn row(task: &proto::Task) -> String {
    let (state, style) = state(task);
    format!("{:>6}  {style}{state:9}{style:#}  {}", task.id, Shown(&task.title))
}

fn state(task: &proto::Task) -> (&'static str, Style) {
    match (task.deleted, task.completed) {
        (true, _) => ("deleted", DELETED),
        (false, true) => ("completed", DONE),
        (false, false) => ("open", Style::new()),
    }
}

/// All about a task, a field a line, in local time.
pub fn details(task: &proto::Task, zone: &TimeZone) -> String {
    let (state, style) = state(task);
    let was = if task.deleted && task.completed { " (was completed)" } else { "" };
    let mut lines = vec![
        ("id", task.id.to_string()),
        ("title", Shown(&task.title).to_string()),
        ("state", format!("{style}{state}{style:#}{was}")),
        ("revision", task.revision.to_string()),
    ];
    for (name, time) in [
        ("created", &task.created_at),
        ("updated", &task.updated_at),
        ("completed", &task.completed_at),
    ] {
        lines.extend(time.as_ref().map(|t| (name, local(t.seconds, t.nanos, zone))));
    }
    lines.iter().map(|(name, value)| format!("{BOLD}{name:9}{BOLD:#}  {value}\n")).collect()
}

/// A time of the server's, which need not make sense.
fn local(seconds: i64, nanos: i32, zone: &TimeZone) -> String {
    match Timestamp::new(seconds, nanos) {
        Ok(time) => time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
        Err(_) => format!("{seconds} s after 1970"),
    }
}

/// A line of `watch`: revision, action, id, title. Where there is no revision: `-`. The
/// stream's own marks have no task.
pub fn update(update: &proto::TaskUpdate) -> String {
    let revision = match update.revision {
        0 => "-".to_owned(),
        revision => revision.to_string(),
    };
    let task = update.task.as_ref().map(|task| format!(" {}", brief(task)));
    format!("{revision} {}{}", Shown(&update.action), task.unwrap_or_default())
}

/// Above the rows of [`history_row`].
pub fn history_header() -> String {
    let (rev, time) = ("REV", "TIME");
    format!("{BOLD}{rev:>6}  {time:26}  {:9}  {:>6}  {}{BOLD:#}", "ACTION", "ID", "TITLE")
}

/// A change that was made, as a row: the title is the one after it.
pub fn history_row(update: &proto::TaskUpdate, zone: &TimeZone) -> String {
    let task = update.task.get_or_default();
    let at = task.updated_at.get_or_default();
    format!(
        "{:>6}  {:26}  {:9}  {:>6}  {}",
        update.revision,
        local(at.seconds, at.nanos, zone),
        Shown(&update.action).to_string(),
        task.id,
        Shown(&task.title)
    )
}

/// An update as the seed's client prints it: the words are Python's.
pub fn announcement(update: &proto::TaskUpdate) -> String {
    let task = update.task.get_or_default();
    let completed = if task.completed { "True" } else { "False" };
    format!(
        "[Update] Task {}: {}\n  Title: {}\n  Completed: {completed}\n",
        task.id,
        Shown(&update.action),
        Shown(&task.title),
    )
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
