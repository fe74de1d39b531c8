use std::io;
use std::time::{Duration, Instant};

use crossbeam_channel::{after, at, never, select};

use super::Session;
use super::connection::ConnectionNotices;
use crate::cli::args::{Condition, WaitArgs};
use crate::cli::{Exit, render};
use crate::client::{Code, UpdateKind, Watch, WatchEvent, WatchOptions, is_purge, proto};
use crate::limits::RECONNECT_BACKOFF_MAX;

pub(super) fn run(args: &WaitArgs, session: &mut Session<'_>) -> io::Result<Exit> {
    let options = WatchOptions {
        // A deletion may be what the command waits for.
        filter: proto::Filter::ANY,
        reconnect: true,
        ..WatchOptions::default()
    };
    let client = session.client;
    let mut waiting = Waiting {
        id: args.task.id,
        condition: args.until.condition(),
        deadline: args.timeout.map(|timeout| Instant::now() + timeout),
        session,
        notices: ConnectionNotices::default(),
        seen: Seen::Nothing,
        lost_history: false,
    };
    loop {
        let watch = match client.watch(options.clone()) {
            Ok(watch) => watch,
            Err(e) => {
                waiting.session.out.message(&format!("cannot start a thread: {e}"));
                return Ok(Exit::Failure);
            }
        };
        if let Some(exit) = waiting.follow(&watch)? {
            return Ok(exit);
        }
    }
}

struct Waiting<'a, 'b> {
    id: i32,
    condition: Condition,
    deadline: Option<Instant>,
    session: &'a mut Session<'b>,
    notices: ConnectionNotices,
    seen: Seen,
    /// Changes since the last look were compacted, so the task must be read again.
    lost_history: bool,
}

/// What is known of the task.
enum Seen {
    Nothing,
    /// The watch is registered: it reports every change that a read now does not show.
    ReadIsDue,
    /// The task at this revision.
    At(i64),
}

impl Waiting<'_, '_> {
    /// Returns the exit code, or `None` if a new watch must continue.
    fn follow(&mut self, watch: &Watch) -> io::Result<Option<Exit>> {
        (self.seen, self.lost_history) = (Seen::Nothing, false);
        let timeout = self.deadline.map_or_else(never, at);
        loop {
            if let Some(exit) = self.read_if_due()? {
                return Ok(Some(exit));
            }
            let read_again = match self.seen {
                Seen::ReadIsDue => after(RECONNECT_BACKOFF_MAX),
                Seen::Nothing | Seen::At(_) => never(),
            };
            let exit = select! {
                recv(watch.events()) -> event => match event {
                    Ok(event) => self.take(event)?,
                    Err(_) if self.lost_history => return Ok(None),
                    // The last event said why.
                    Err(_) => Some(Exit::Failure),
                },
                recv(read_again) -> _ => None,
                recv(timeout) -> _ => Some(self.timed_out()),
                recv(self.session.interrupted) -> _ => Some(Exit::Interrupted),
            };
            if exit.is_some() {
                return Ok(exit);
            }
        }
    }

    /// Returns the exit code if the event decides it.
    fn take(&mut self, event: WatchEvent) -> io::Result<Option<Exit>> {
        match event {
            WatchEvent::Connected { is_todod } => {
                self.notices.connected(self.session.out);
                if !is_todod {
                    // The read says what the example's server does not have.
                    self.seen = Seen::ReadIsDue;
                }
            }
            WatchEvent::Update(update) => match (UpdateKind::from(&update), &self.seen) {
                (UpdateKind::Synced, Seen::Nothing) => self.seen = Seen::ReadIsDue,
                (UpdateKind::Change, Seen::At(revision)) if update.revision > *revision => {
                    let task = update.task.as_ref().filter(|task| task.id == self.id);
                    return match task {
                        Some(task) if is_purge(&update) => self.purged(task).map(Some),
                        Some(task) => self.judge(task),
                        None => Ok(None),
                    };
                }
                _ => {}
            },
            WatchEvent::Ended(why) if why.code == Code::OutOfRange => self.lost_history = true,
            WatchEvent::Ended(why) => return Ok(Some(self.notices.ended(&why, self.session.out))),
            WatchEvent::Lost(why) => return Ok(self.notices.lost(&why, self.session.out)),
        }
        Ok(None)
    }

    fn read_if_due(&mut self) -> io::Result<Option<Exit>> {
        let Seen::ReadIsDue = self.seen else { return Ok(None) };
        let left = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        match self.session.client.with_timeout_max(left.unwrap_or(Duration::MAX)).get(self.id) {
            Ok(task) => {
                self.seen = Seen::At(task.revision);
                let decided = self.judge(&task)?;
                if decided.is_none() {
                    self.session.out.notice(format!("waiting for {}\n", render::brief(&task)));
                }
                Ok(decided)
            }
            Err(e) if e.code.is_transient() => Ok(None),
            Err(e) => Ok(Some(self.session.out.failed(&format!("{}: ", self.id), &e))),
        }
    }

    fn judge(&mut self, task: &proto::Task) -> io::Result<Option<Exit>> {
        let holds = match self.condition {
            Condition::Completed => task.completed,
            Condition::Deleted => task.deleted,
            Condition::Revision(revision) => task.revision >= revision,
        };
        if holds {
            self.session.out.task(task, render::brief(task))?;
            return Ok(Some(Exit::Ok));
        }
        if self.condition == Condition::Completed && task.deleted {
            return Ok(Some(self.will_not_be_completed("deleted")));
        }
        Ok(None)
    }

    /// The task was deleted before, and now it is removed for good.
    fn purged(&mut self, task: &proto::Task) -> io::Result<Exit> {
        match self.condition {
            Condition::Completed => Ok(self.will_not_be_completed("purged")),
            Condition::Deleted | Condition::Revision(_) => {
                self.session.out.task(task, task.id)?;
                Ok(Exit::Ok)
            }
        }
    }

    fn will_not_be_completed(&mut self, why: &str) -> Exit {
        let why = format!("{}: the task is {why}, so it will not be completed", self.id);
        self.session.out.message(&why);
        Exit::Rejected
    }

    fn timed_out(&mut self) -> Exit {
        let what = match self.condition {
            Condition::Completed => "completed".to_owned(),
            Condition::Deleted => "deleted".to_owned(),
            Condition::Revision(revision) => format!("at revision {revision}"),
        };
        self.session.out.message(&format!("{}: not {what} in time: raise --timeout", self.id));
        Exit::Unavailable
    }
}
