use std::io;

use crossbeam_channel::select;

use super::Session;
use super::contact::Contact;
use crate::cli::Exit;
use crate::cli::args::WatchArgs;
use crate::cli::render::{self, Shown};
use crate::cli::state_file::{StateError, StateFile};
use crate::client::{
    CallError, Client, Code, Mark, Place, Watch, WatchEvent, WatchOptions, WatchStart,
    proto::TaskUpdate,
};
use crate::limits::{WATCH_BURST_MAX, WATCH_PROGRESS_INTERVAL, WATCH_PROGRESS_INTERVAL_SHORT};

pub fn run(args: &WatchArgs, session: &mut Session<'_>) -> io::Result<Exit> {
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
    let options = WatchOptions { filter, start, reconnect: true, progress };
    let watch = match session.client.watch(options) {
        Ok(watch) => watch,
        Err(e) => {
            session.out.message(&format!("cannot start a thread: {e}"));
            return Ok(Exit::Failure);
        }
    };
    let mut follower = Follower {
        args,
        session,
        place: state.as_ref().and_then(|state| state.place().cloned()),
        state,
        contact: Contact::default(),
        is_live: false,
        in_snapshot: false,
        left: args.count,
        unsettled: 0,
    };
    let exit = follower.follow(&watch)?;
    Ok(exit.or(follower.settle()?))
}

fn unusable(why: &StateError, session: &mut Session<'_>) -> Exit {
    session.out.message(&why.to_string());
    Exit::Failure
}

enum Unstarted {
    Call(CallError),
    State(StateError),
}

/// Where to start. A state file that is missing is made now, so that nothing is missed
/// from now on, however this ends.
fn start(
    args: &WatchArgs,
    state: Option<StateFile>,
    client: &Client,
) -> Result<(Option<StateFile>, WatchStart), Unstarted> {
    let needs_revisions = args.from.is_some() || args.until_revision.is_some() || state.is_some();
    if !needs_revisions && !args.snapshot {
        return Ok((None, WatchStart::Now));
    }
    let here = client.place().map_err(Unstarted::Call)?;
    let none = || Unstarted::Call(CallError::needs_todod(client.server(), "keeps no history"));
    let here = here.ok_or_else(none)?;
    let or_snapshot = args.snapshot;
    let Some(mut state) = state else {
        let start = match args.from {
            Some(revision) => WatchStart::After { place: Place { revision, ..here }, or_snapshot },
            None if args.snapshot => WatchStart::Snapshot,
            None => WatchStart::Now,
        };
        return Ok((None, start));
    };
    let start = match (state.place(), args.from) {
        (Some(place), _) => WatchStart::After { place: place.clone(), or_snapshot },
        // The file comes when the list is printed.
        (None, None) if args.snapshot => WatchStart::Snapshot,
        (None, from) => {
            let revision = from.unwrap_or(here.revision);
            let place = Place { revision, ..here };
            state.save(&place).map_err(Unstarted::State)?;
            WatchStart::After { place, or_snapshot }
        }
    };
    Ok((Some(state), start))
}

/// Prints what a watch tells, and keeps the state file.
struct Follower<'a, 'b> {
    args: &'a WatchArgs,
    session: &'a mut Session<'b>,
    state: Option<StateFile>,
    /// Up to where everything is printed, if that is known.
    place: Option<Place>,
    contact: Contact,
    /// It was said that the watch is registered.
    is_live: bool,
    in_snapshot: bool,
    /// Changes to print before the end.
    left: Option<u64>,
    /// Events since what is printed was last out, and in the state file.
    unsettled: usize,
}

impl Follower<'_, '_> {
    fn follow(&mut self, watch: &Watch) -> io::Result<Exit> {
        loop {
            let event = match self.next(watch)? {
                Ok(event) => event,
                Err(exit) => return Ok(exit),
            };
            match event {
                WatchEvent::Connected { is_todod } => {
                    self.contact.made(self.session.out);
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
                    if let Some(exit) = self.contact.lost(&why, self.session.out) {
                        return Ok(exit);
                    }
                }
                WatchEvent::Ended(why) => {
                    let exit = self.contact.ended(&why, self.session.out);
                    self.advise(&why);
                    return Ok(exit);
                }
            }
        }
    }

    /// The next event, or the end. What is printed is out before this waits.
    fn next(&mut self, watch: &Watch) -> io::Result<Result<WatchEvent, Exit>> {
        if self.unsettled < WATCH_BURST_MAX
            && let Ok(event) = watch.events().try_recv()
        {
            self.unsettled += 1;
            return Ok(Ok(event));
        }
        let settled = self.settle()?;
        if settled != Exit::Ok {
            return Ok(Err(settled));
        }
        Ok(select! {
            // It says why before it ends.
            recv(watch.events()) -> event => event.map_err(|_| Exit::Failure),
            recv(self.session.interrupted) -> _ => Err(Exit::Interrupted),
        })
    }

    /// First the lines, then the state file: a line may come twice after a kill in
    /// between, but none is lost.
    fn settle(&mut self) -> io::Result<Exit> {
        self.unsettled = 0;
        self.session.out.flush()?;
        if let (Some(state), Some(place)) = (&mut self.state, &self.place)
            && let Err(e) = state.save(place)
        {
            return Ok(unusable(&e, self.session));
        }
        Ok(Exit::Ok)
    }

    /// Returns whether that was all that was asked for.
    fn updated(&mut self, update: &TaskUpdate) -> io::Result<bool> {
        let until = self.args.until_revision;
        let mut is_live = false;
        match Mark::of(update) {
            Mark::Reset => {
                self.in_snapshot = true;
                self.place = None;
                self.print(update)?;
                return Ok(false);
            }
            Mark::Snapshot => {
                self.print(update)?;
                return Ok(false);
            }
            Mark::Synced if self.in_snapshot || self.place.is_none() => {
                if std::mem::take(&mut self.in_snapshot) {
                    self.print(update)?;
                }
                let (list_id, revision) = (update.list_id.clone(), update.revision);
                self.place = Some(Place { list_id, revision });
                is_live = true;
            }
            // Not beyond what was asked for: another watch may go on from there.
            Mark::Synced | Mark::Progress => {
                self.advance(until.map_or(update.revision, |until| until.min(update.revision)));
                is_live = Mark::of(update) == Mark::Synced;
            }
            Mark::Change => match until {
                Some(until) if update.revision > until => self.advance(until),
                _ => {
                    self.print(update)?;
                    self.advance(update.revision);
                    // What comes within a snapshot belongs to it.
                    let counts = u64::from(!self.in_snapshot);
                    self.left = self.left.map(|left| left - counts);
                }
            },
        }
        // The place to go on from is known with the end of a snapshot, not before.
        let is_done = !self.in_snapshot
            && (self.left == Some(0) || until.is_some_and(|until| update.revision >= until));
        if is_live && !is_done {
            self.live();
        }
        Ok(is_done)
    }

    fn print(&mut self, update: &TaskUpdate) -> io::Result<()> {
        self.session.out.line(match self.session.out.json {
            true => render::update_json(update),
            false => render::update(update),
        })
    }

    fn advance(&mut self, revision: i64) {
        if let Some(place) = &mut self.place {
            place.revision = place.revision.max(revision);
        }
    }

    fn live(&mut self) {
        if !self.is_live {
            self.is_live = true;
            let server = Shown(self.session.client.server());
            self.session.out.notice(format!("watching {server}\n"));
        }
    }

    /// What to do when history is gone.
    fn advise(&mut self, why: &CallError) {
        if why.code != Code::OutOfRange {
            return;
        }
        let advice = match &self.args.state {
            Some(path) => format!(", or remove {} to start from now", path.display()),
            None => String::new(),
        };
        self.session.out.message(&format!("use --snapshot for that{advice}"));
    }
}
