use std::io;
use std::time::{Duration, Instant};

use crossbeam_channel::{after, at, never, select};

use super::Session;
use super::contact::Contact;
use crate::cli::args::{Condition, WaitArgs};
use crate::cli::{Exit, render};
use crate::client::{Code, Mark, Watch, WatchEvent, WatchOptions, proto};
use crate::limits::RECONNECT_BACKOFF_MAX;

pub fn run(args: &WaitArgs, session: &mut Session<'_>) -> io::Result<Exit> {
    let options = WatchOptions {
        // Any change may be the one, deletion included.
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
        contact: Contact::default(),
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
    contact: Contact,
    seen: Seen,
    /// What happened since the last look cannot be told any more: look again.
    lost_history: bool,
}

/// What is known of the task.
enum Seen {
    Nothing,
    /// The watch is registered, so whatever a look does not show yet, the watch will tell.
    LookIsDue,
    /// The task as it was at this revision.
    At(i64),
}

impl Waiting<'_, '_> {
    /// Returns the exit code, or `None` if another watch has to go on.
    fn follow(&mut self, watch: &Watch) -> io::Result<Option<Exit>> {
        (self.seen, self.lost_history) = (Seen::Nothing, false);
        let timeout = self.deadline.map_or_else(never, at);
        loop {
            if let Some(exit) = self.look_if_due()? {
                return Ok(Some(exit));
            }
            let look_again = match self.seen {
                Seen::LookIsDue => after(RECONNECT_BACKOFF_MAX),
                Seen::Nothing | Seen::At(_) => never(),
            };
            let exit = select! {
                recv(watch.events()) -> event => match event {
                    Ok(event) => self.take(event)?,
                    Err(_) if self.lost_history => return Ok(None),
                    // It says why before it ends.
                    Err(_) => Some(Exit::Failure),
                },
                recv(look_again) -> _ => None,
                recv(timeout) -> _ => Some(self.timed_out()),
                recv(self.session.interrupted) -> _ => Some(Exit::Interrupted),
            };
            if exit.is_some() {
                return Ok(exit);
            }
        }
    }

    /// Returns the exit code once it is decided.
    fn take(&mut self, event: WatchEvent) -> io::Result<Option<Exit>> {
        match event {
            WatchEvent::Connected { is_todod } => {
                self.contact.made(self.session.out);
                if !is_todod {
                    // The look says what is missing there.
                    self.seen = Seen::LookIsDue;
                }
            }
            WatchEvent::Update(update) => match (Mark::of(&update), &self.seen) {
                (Mark::Synced, Seen::Nothing) => self.seen = Seen::LookIsDue,
                (Mark::Change, Seen::At(revision)) if update.revision > *revision => {
                    let task = update.task.as_ref().filter(|task| task.id == self.id);
                    return task.map_or(Ok(None), |task| self.judge(task));
                }
                _ => {}
            },
            WatchEvent::Ended(why) if why.code == Code::OutOfRange => self.lost_history = true,
            WatchEvent::Ended(why) => return Ok(Some(self.contact.ended(&why, self.session.out))),
            WatchEvent::Lost(why) => return Ok(self.contact.lost(&why, self.session.out)),
        }
        Ok(None)
    }

    fn look_if_due(&mut self) -> io::Result<Option<Exit>> {
        let Seen::LookIsDue = self.seen else { return Ok(None) };
        let left = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        match self.session.client.within(left.unwrap_or(Duration::MAX)).get(self.id) {
            Ok(task) => {
                self.seen = Seen::At(task.revision);
                let decided = self.judge(&task)?;
                if decided.is_none() {
                    self.session.out.notice(format!("waiting for {}\n", render::brief(&task)));
                }
                Ok(decided)
            }
            Err(e) if e.code.may_pass() => Ok(None),
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
            let why = format!("{}: it is deleted, so it will not be completed", self.id);
            self.session.out.message(&why);
            return Ok(Some(Exit::Rejected));
        }
        Ok(None)
    }

    fn timed_out(&mut self) -> Exit {
        let what = match self.condition {
            Condition::Completed => "completed".to_owned(),
            Condition::Deleted => "deleted".to_owned(),
            Condition::Revision(revision) => format!("at revision {revision}"),
        };
        self.session.out.message(&format!("{}: not {what} in time: see --timeout", self.id));
        Exit::Unavailable
    }
}
