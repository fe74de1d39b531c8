//! Watchers with bad habits, which remember all that they were sent.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use grpcio::RpcStatusCode as Code;
use todo::wire::proto::*;

use crate::abuse::narrow;
use crate::change_log::Log;
use crate::checker::{Broken, Recording};
use crate::harness::{DEADLINE, until};
use crate::stream::{Stream, raw_in};
use crate::world::{Dice, Release, World};

/// What a watcher does.
#[derive(Debug, Clone)]
pub struct Habits {
    pub request: WatchTasksRequest,
    /// Reads nothing for this many changes, after every few messages.
    pub stalls_for: i64,
    /// Hangs up now and then, and goes on where it was.
    pub hangs_up: bool,
    /// Goes on with the list as it is if its history is gone.
    pub falls_back: bool,
    /// Goes on only from SYNCED and PROGRESS.
    pub trusts_marks_only: bool,
    pub seed: u64,
}

impl Habits {
    pub fn new(filter: Filter, seed: u64) -> Habits {
        Habits {
            request: WatchTasksRequest { filter: filter.into(), ..Default::default() },
            stalls_for: 0,
            hangs_up: false,
            falls_back: false,
            trusts_marks_only: false,
            seed,
        }
    }

    pub fn after(mut self, after_revision: i64) -> Habits {
        self.request.after_revision = Some(after_revision);
        self
    }

    pub fn with_snapshot(mut self) -> Habits {
        self.request.snapshot = true;
        self
    }
}

impl World {
    /// Watches until the goal is reached.
    pub fn follow(&self, habits: &Habits) -> Vec<Recording> {
        let _release = Release(self);
        let mut follower = Follower::new(self, habits);
        while !follower.is_done() {
            follower.watch_once();
        }
        follower.recordings
    }
}

struct Follower<'a> {
    world: &'a World,
    habits: &'a Habits,
    dice: Dice,
    request: WatchTasksRequest,
    list_id: String,
    /// Where it would go on.
    place: Option<i64>,
    /// Up to where it knows all.
    reached: i64,
    recordings: Vec<Recording>,
    deadline: Instant,
}

impl<'a> Follower<'a> {
    fn new(world: &'a World, habits: &'a Habits) -> Follower<'a> {
        Follower {
            world,
            habits,
            dice: Dice::new(habits.seed),
            request: habits.request.clone(),
            list_id: String::new(),
            place: None,
            reached: 0,
            recordings: Vec::new(),
            deadline: Instant::now() + DEADLINE,
        }
    }

    fn is_done(&self) -> bool {
        self.reached >= self.world.goal()
    }

    /// One call, to its end or until it is time to hang up.
    fn watch_once(&mut self) {
        assert!(Instant::now() < self.deadline, "{:?} got no further", self.habits);
        let called_at = self.world.newest();
        let restarts = self.world.restarts.load(Ordering::SeqCst);
        let servers = &self.world.servers;
        let server = &servers[self.dice.below(servers.len() as u64) as usize];
        let client = raw_in(&self.world.env, server, narrow);
        let stream = Stream::open_lazy(&client, &self.request);
        let mut recording =
            Recording { request: self.request.clone(), called_at, ..Default::default() };
        let mut hangs_up_in = match self.habits.hangs_up {
            true => self.dice.below(300),
            false => u64::MAX,
        };
        let mut owes_synced = self.request.snapshot || self.request.after_revision.is_some();
        // A snapshot may be longer than it ever waits otherwise.
        let is_patient = self.dice.below(2) == 0;
        // Without a mark it would begin where this call began.
        let mut needs_mark = self.habits.trusts_marks_only;
        while (hangs_up_in > 0 || needs_mark) && (owes_synced || !self.is_done()) {
            if !(is_patient && owes_synced) {
                hangs_up_in = hangs_up_in.saturating_sub(1);
            }
            self.stall_now_and_then();
            // The test's transport does not always notice that its server was killed.
            let is_lost = || self.world.restarts.load(Ordering::SeqCst) > restarts;
            match stream.message_unless(is_lost) {
                Ok(message) => {
                    owes_synced &= message.action != "SYNCED";
                    needs_mark &= !is_mark(&message);
                    self.take(&message);
                    recording.messages.push(message);
                }
                Err(end) => {
                    recording.end = Some((end.code(), end.message().to_owned()));
                    break;
                }
            }
        }
        drop(stream);
        self.go_on(&recording);
        self.recordings.push(recording);
    }

    fn take(&mut self, message: &TaskUpdate) {
        if message.revision == 0 {
            return;
        }
        let reached = message.more.last().unwrap_or(message).revision;
        if reached > self.reached {
            self.deadline = Instant::now() + DEADLINE;
            self.reached = reached;
        }
        if is_mark(message) || !self.habits.trusts_marks_only {
            self.place = Some(reached);
        }
        if message.action == "PROGRESS" {
            self.world.tell_progress();
        }
        if !message.list_id.is_empty() {
            self.list_id.clone_from(&message.list_id);
        }
    }

    /// The transport's window is full long before this ends.
    fn stall_now_and_then(&mut self) {
        if self.habits.stalls_for > 0 && self.dice.below(200) == 0 {
            let until_then = self.world.newest() + self.habits.stalls_for;
            until("the others go on", || {
                let world = self.world;
                world.newest() >= until_then || world.rests() || !world.is_written()
            });
        }
    }

    fn go_on(&mut self, recording: &Recording) {
        let request = &mut self.request;
        // In the middle of a snapshot there is no place: it begins again.
        if let Some(place) = self.place {
            request.after_revision = Some(place);
            request.list_id.clone_from(&self.list_id);
            request.snapshot = self.habits.falls_back;
        }
        match &recording.end {
            None => {}
            Some((Code::OUT_OF_RANGE, _)) => {
                // Says the contract: start from the list as it is.
                self.place = None;
                request.after_revision = None;
                request.snapshot = true;
            }
            // CANCELLED: it did not read, so the reason could not be told.
            Some((Code::UNAVAILABLE | Code::RESOURCE_EXHAUSTED | Code::CANCELLED, _)) => {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            Some(end) => panic!("{end:?}"),
        }
    }
}

/// Whether it names a place to resume from, and nothing else.
fn is_mark(message: &TaskUpdate) -> bool {
    matches!(&*message.action, "SYNCED" | "PROGRESS")
}

/// Checks all that a follower was sent; the last call must have told everything.
pub fn check(log: &Log, habits: &Habits, recordings: &[Recording], goal: i64) {
    let failed = |at: usize, recording: &Recording, (what, found): Broken| -> i64 {
        let Recording { request, called_at, messages, end } = recording;
        panic!(
            "{what:?}: {found}\ncall {at} of {}, {request} at {called_at}, {} messages, {end:?}, by {habits:?}",
            recordings.len(),
            messages.len(),
        )
    };
    for (at, recording) in recordings.iter().enumerate() {
        let place = match at + 1 == recordings.len() {
            true => log.check_up_to(recording, goal),
            false => log.check(recording),
        };
        let _ = place.unwrap_or_else(|broken| failed(at, recording, broken));
    }
}
