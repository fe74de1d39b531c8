use std::fmt::{self, Write};

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::client::{self, is_purge, proto};

const BOLD: Style = Style::new().bold();
const DONE: Style = AnsiColor::Green.on_default();
const DELETED: Style = AnsiColor::Red.on_default();

/// Displays text from others. Characters that could move the cursor, colour the screen or
/// reverse the line appear as escapes such as `\u{1b}`.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

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

/// Whether it is a control character, a line or paragraph separator, or a bidirectional
/// override.
fn is_hostile(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Returns a task as a line of JSON that is safe to show. In JSON, characters beyond ASCII
/// occur only within strings, where any character may be escaped.
pub(crate) fn json(task: &proto::Task) -> String {
    json_shown(client::json(task))
}

/// Returns an update as a line of JSON that is safe to show.
pub(crate) fn update_json(update: &proto::TaskUpdate) -> String {
    json_shown(client::json(update))
}

fn json_shown(json: String) -> String {
    if !json.contains(is_hostile) {
        return json;
    }
    json.chars().fold(String::with_capacity(json.len()), |mut shown, c| {
        if is_hostile(c) {
            // Their code points have at most four digits. Writing to a String cannot fail.
            let _ = write!(shown, "\\u{:04x}", c as u32);
        } else {
            shown.push(c);
        }
        shown
    })
}

/// `7 Buy milk`
pub(crate) fn brief(task: &proto::Task) -> String {
    format!("{} {}", task.id, Shown(&task.title))
}

/// Returns the header of the rows of [`row`].
pub(crate) fn header() -> String {
    format!("{BOLD}{:>6}  {:9}  {}{BOLD:#}", "ID", "STATE", "TITLE")
}

/// Returns a task's row of the table. The columns are fixed, because rows come page by page.
pub(crate) fn row(task: &proto::Task) -> String {
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

/// Returns a task's details, one field per line, with local times.
pub(crate) fn details(task: &proto::Task, zone: &TimeZone) -> String {
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

/// Formats a time of the server, which may be out of range.
fn local(seconds: i64, nanos: i32, zone: &TimeZone) -> String {
    match Timestamp::new(seconds, nanos) {
        Ok(time) => time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
        Err(_) => format!("{seconds} s after 1970"),
    }
}

/// Returns a line of `watch`: revision or `-`, action, id, title. RESET and SYNCED have no
/// task, a purged task has no title.
pub(crate) fn update(update: &proto::TaskUpdate) -> String {
    let revision = match update.revision {
        0 => "-".to_owned(),
        revision => revision.to_string(),
    };
    let task = update.task.as_ref().map(|task| format!(" {}", brief(task)));
    let line = format!("{revision} {}{}", Shown(&update.action), task.unwrap_or_default());
    line.trim_end().to_owned()
}

/// Returns the header of the rows of [`history_row`].
pub(crate) fn history_header() -> String {
    let (rev, time) = ("REV", "TIME");
    format!("{BOLD}{rev:>6}  {time:26}  {:9}  {:>6}  {}{BOLD:#}", "ACTION", "ID", "TITLE")
}

/// Returns a past change as a row, with the title after the change. The changes of a purged
/// task have neither time nor title.
pub(crate) fn history_row(update: &proto::TaskUpdate, zone: &TimeZone) -> String {
    let task = update.task.get_or_default();
    let time = task.updated_at.as_ref().map(|at| local(at.seconds, at.nanos, zone));
    let row = format!(
        "{:>6}  {:26}  {:9}  {:>6}  {}",
        update.revision,
        time.unwrap_or_else(|| "-".to_owned()),
        Shown(&update.action).to_string(),
        task.id,
        Shown(&task.title)
    );
    row.trim_end().to_owned()
}

/// Returns an update in the words of the reference example's client, which is in Python.
/// The example has no purges.
pub(crate) fn announcement(update: &proto::TaskUpdate) -> String {
    let task = update.task.get_or_default();
    if is_purge(update) {
        return format!("[Update] purged #{}\n", task.id);
    }
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
