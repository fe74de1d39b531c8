use std::io;

use crossbeam_channel::select;

use super::Session;
use super::connection::ConnectionNotices;
use crate::cli::Exit;
use crate::cli::args::WatchArgs;
use crate::cli::render::{self, Shown};
use crate::cli::state_file::{StateError, StateFile};
use crate::client::{
    CallError, Client, Code, Position, UpdateKind, Watch, WatchEvent, WatchOptions, WatchStart,
    proto::TaskUpdate,
};
use crate::limits::{WATCH_BURST_MAX, WATCH_PROGRESS_INTERVAL, WATCH_PROGRESS_INTERVAL_SHORT};

pub(super) fn run(args: &WatchArgs, session: &mut Session<'_>) -> io::Result<Exit> {
    let state = match args.state.as_deref().map(StateFile::open).transpose() {
        Ok(state) => state,
        Err(e) => return Ok(unusable(&e, session)),
    };
    let (state, start) = match start(args, state, session.client) {
        Ok(start) => start,
        Err(Unstarted::Call(e)) => return Ok(session.out.failed("", &e)),
        Err(Unstarted::State(e)) => return Ok(unusable(&e, session)),
    };
    let progress = match args.until_revision {
        Some(_) => WATCH_PROGRESS_INTERVAL_SHORT,
        None => WATCH_PROGRESS_INTERVAL,
    };
    let filter = args.filter.filter();
    let options =
        WatchOptions { filter, start, reconnect: true, progress, ..WatchOptions::default() };
    let watch = match session.client.watch(options) {
        Ok(watch) => watch,
        Err(e) => {
            session.out.message(&format!("cannot start a thread: {e}"));
            return Ok(Exit::Failure);
        }
    };
    let mut printer = Printer {
        args,
        session,
        position: state.as_ref().and_then(|state| state.position().cloned()),
        state,
        notices: ConnectionNotices::default(),
        is_live: false,
        in_snapshot: false,
        changes_left: args.count,
        unsaved: 0,
    };
    let exit = printer.run(&watch)?;
    Ok(exit.or(printer.save()?))
}

fn unusable(why: &StateError, session: &mut Session<'_>) -> Exit {
    session.out.message(&why.to_string());
    Exit::Failure
}

enum Unstarted {
    Call(CallError),
    State(StateError),
}

/// Returns where to start. A missing state file is made now, so that nothing is missed from
/// now on, however this run ends.
fn start(
    args: &WatchArgs,
    state: Option<StateFile>,
    client: &Client,
) -> Result<(Option<StateFile>, WatchStart), Unstarted> {
    let needs_revisions = args.from.is_some() || args.until_revision.is_some() || state.is_some();
    if !needs_revisions && !args.snapshot {
        return Ok((None, WatchStart::Now));
    }
    let here = client.todod_position().map_err(Unstarted::Call)?;
    let or_snapshot = args.snapshot;
    let Some(mut state) = state else {
        let start = match args.from {
            Some(revision) => {
                WatchStart::After { position: Position { revision, ..here }, or_snapshot }
            }
            None if args.snapshot => WatchStart::Snapshot,
            None => WatchStart::Now,
        };
        return Ok((None, start));
    };
    let start = match (state.position(), args.from) {
        (Some(position), _) => WatchStart::After { position: position.clone(), or_snapshot },
        // The file is made once the list is printed.
        (None, None) if args.snapshot => WatchStart::Snapshot,
        (None, from) => {
            let revision = from.unwrap_or(here.revision);
            let position = Position { revision, ..here };
            state.save(&position).map_err(Unstarted::State)?;
            WatchStart::After { position, or_snapshot }
        }
    };
    Ok((Some(state), start))
}

/// Prints what a watch reports, and keeps the state file.
struct Printer<'a, 'b> {
    args: &'a WatchArgs,
    session: &'a mut Session<'b>,
    state: Option<StateFile>,
    /// Up to where everything is printed, if that is known.
    position: Option<Position>,
    notices: ConnectionNotices,
    /// Whether the notice that the watch is registered was printed.
    is_live: bool,
    in_snapshot: bool,
    /// Changes to print before the end.
    changes_left: Option<u64>,
    /// Events since the output was last flushed and the position saved.
    unsaved: usize,
}

impl Printer<'_, '_> {
    fn run(&mut self, watch: &Watch) -> io::Result<Exit> {
        loop {
            let event = match self.next(watch)? {
                Ok(event) => event,
                Err(exit) => return Ok(exit),
            };
            match event {
                WatchEvent::Connected { is_todod } => {
                    self.notices.connected(self.session.out);
                    if !is_todod {
                        self.live();
                    }
                }
                WatchEvent::Update(update) => {
                    if self.updated(&update)? {
                        return Ok(Exit::Ok);
                    }
                }
                WatchEvent::Lost(why) => {
                    if let Some(exit) = self.notices.lost(&why, self.session.out) {
                        return Ok(exit);
                    }
                }
                WatchEvent::Ended(why) => {
                    let exit = self.notices.ended(&why, self.session.out);
                    self.advise(&why);
                    return Ok(exit);
                }
            }
        }
    }

    /// Returns the next event, or the exit code. Flushes the output before it waits.
    fn next(&mut self, watch: &Watch) -> io::Result<Result<WatchEvent, Exit>> {
        if self.unsaved < WATCH_BURST_MAX
            && let Ok(event) = watch.events().try_recv()
        {
            self.unsaved += 1;
            return Ok(Ok(event));
        }
        let saved = self.save()?;
        if saved != Exit::Ok {
            return Ok(Err(saved));
        }
        Ok(select! {
            // The last event says why there are no more.
            recv(watch.events()) -> event => event.map_err(|_| Exit::Failure),
            recv(self.session.interrupted) -> _ => Err(Exit::Interrupted),
        })
    }

    /// Flushes the lines, then saves the position. If the process is killed in between, a
    /// line may be printed twice, but none is lost.
    fn save(&mut self) -> io::Result<Exit> {
        self.unsaved = 0;
        self.session.out.flush()?;
        if let (Some(state), Some(position)) = (&mut self.state, &self.position)
            && let Err(e) = state.save(position)
        {
            return Ok(unusable(&e, self.session));
        }
        Ok(Exit::Ok)
    }

    /// Prints an update. Returns whether everything that was asked for is printed.
    fn updated(&mut self, update: &TaskUpdate) -> io::Result<bool> {
        let until = self.args.until_revision;
        let kind = UpdateKind::from(update);
        match kind {
            UpdateKind::Reset => {
                (self.in_snapshot, self.position) = (true, None);
                self.print(update)?;
                return Ok(false);
            }
            UpdateKind::Snapshot => {
                self.print(update)?;
                return Ok(false);
            }
            UpdateKind::Synced if self.in_snapshot || self.position.is_none() => {
                if std::mem::take(&mut self.in_snapshot) {
                    self.print(update)?;
                }
                let (list_id, revision) = (update.list_id.clone(), update.revision);
                self.position = Some(Position { list_id, revision });
            }
            // Not beyond --until-revision: the next run continues from there.
            UpdateKind::Synced | UpdateKind::Progress => {
                self.advance(until.map_or(update.revision, |until| until.min(update.revision)));
            }
            UpdateKind::Change => match until {
                Some(until) if update.revision > until => self.advance(until),
                _ => {
                    self.print(update)?;
                    self.advance(update.revision);
                    // Changes between RESET and SYNCED belong to the snapshot.
                    let counts = u64::from(!self.in_snapshot);
                    self.changes_left = self.changes_left.map(|left| left - counts);
                }
            },
        }
        // The position to resume from is known at the end of a snapshot, not before.
        let is_done = !self.in_snapshot
            && (self.changes_left == Some(0)
                || until.is_some_and(|until| update.revision >= until));
        if kind == UpdateKind::Synced && !is_done {
            self.live();
        }
        Ok(is_done)
    }

    fn print(&mut self, update: &TaskUpdate) -> io::Result<()> {
        self.session.out.printed_revision = update.revision;
        self.session.out.line(match self.session.out.json {
            true => render::update_json(update),
            false => render::update(update),
        })
    }

    fn advance(&mut self, revision: i64) {
        if let Some(position) = &mut self.position {
            position.revision = position.revision.max(revision);
        }
    }

    fn live(&mut self) {
        if !self.is_live {
            self.is_live = true;
            let server = Shown(self.session.client.server());
            self.session.out.notice(format!("watching {server}\n"));
        }
    }

    /// Says what to do after history was compacted.
    fn advise(&mut self, why: &CallError) {
        if why.code != Code::OutOfRange {
            return;
        }
        let advice = match &self.args.state {
            Some(path) => format!(", or remove {} to start from now", path.display()),
            None => String::new(),
        };
        self.session
            .out
            .message(&format!("use --snapshot to start from the list as it is{advice}"));
    }
}
