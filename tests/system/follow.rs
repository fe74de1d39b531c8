//! Watchers that stall, hang up and resume, and record everything that they receive.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use grpcio::RpcStatusCode as Code;
use todo::wire::proto::*;

use crate::abuse::narrow;
use crate::change_log::Log;
use crate::checker::{Broken, Recording};
use crate::harness::{DEADLINE, until};
use crate::stream::{Stream, raw_in};
use crate::workload::{Release, Rng, Workload};

/// How a watcher behaves.
#[derive(Debug, Clone)]
pub struct WatcherProfile {
    pub request: WatchTasksRequest,
    /// Stops reading for this many changes, now and then.
    pub stalls_for: i64,
    /// Hangs up now and then, and resumes from its position.
    pub hangs_up: bool,
    /// Falls back to a snapshot if its history was compacted.
    pub falls_back: bool,
    /// Resumes only from the revisions of SYNCED and PROGRESS.
    pub trusts_marks_only: bool,
    pub seed: u64,
}

impl WatcherProfile {
    pub fn new(filter: Filter, seed: u64) -> WatcherProfile {
        WatcherProfile {
            request: WatchTasksRequest { filter: filter.into(), ..Default::default() },
            stalls_for: 0,
            hangs_up: false,
            falls_back: false,
            trusts_marks_only: false,
            seed,
        }
    }

    pub fn after(mut self, after_revision: i64) -> WatcherProfile {
        self.request.after_revision = Some(after_revision);
        self
    }

    pub fn with_snapshot(mut self) -> WatcherProfile {
        self.request.snapshot = true;
        self
    }
}

impl Workload {
    /// Watches until the goal is reached.
    pub fn follow(&self, profile: &WatcherProfile) -> Vec<Recording> {
        let _release = Release(self);
        let mut follower = Follower::new(self, profile);
        while !follower.is_done() {
            follower.watch_once();
        }
        follower.recordings
    }
}

struct Follower<'a> {
    workload: &'a Workload,
    profile: &'a WatcherProfile,
    rng: Rng,
    request: WatchTasksRequest,
    list_id: String,
    /// The position from which it would resume.
    position: Option<i64>,
    /// The revision up to which it has received everything.
    reached: i64,
    recordings: Vec<Recording>,
    deadline: Instant,
}

impl<'a> Follower<'a> {
    fn new(workload: &'a Workload, profile: &'a WatcherProfile) -> Follower<'a> {
        Follower {
            workload,
            profile,
            rng: Rng::new(profile.seed),
            request: profile.request.clone(),
            list_id: String::new(),
            position: None,
            reached: 0,
            recordings: Vec::new(),
            deadline: Instant::now() + DEADLINE,
        }
    }

    fn is_done(&self) -> bool {
        self.reached >= self.workload.goal()
    }

    /// One call, to its end or until it is time to hang up.
    fn watch_once(&mut self) {
        assert!(Instant::now() < self.deadline, "{:?} made no progress", self.profile);
        let called_at = self.workload.newest();
        let restarts = self.workload.restarts.load(Ordering::SeqCst);
        let servers = &self.workload.servers;
        let server = &servers[self.rng.below(servers.len() as u64) as usize];
        let client = raw_in(&self.workload.env, server, narrow);
        let stream = Stream::open_lazy(&client, &self.request);
        let mut recording =
            Recording { request: self.request.clone(), called_at, ..Default::default() };
        let mut hangs_up_in = match self.profile.hangs_up {
            true => self.rng.below(300),
            false => u64::MAX,
        };
        let mut owes_synced = self.request.snapshot || self.request.after_revision.is_some();
        // Otherwise it might never receive a whole snapshot.
        let is_patient = self.rng.below(2) == 0;
        // Without one it would resume where this call began.
        let mut needs_mark = self.profile.trusts_marks_only;
        while (hangs_up_in > 0 || needs_mark) && (owes_synced || !self.is_done()) {
            if !(is_patient && owes_synced) {
                hangs_up_in = hangs_up_in.saturating_sub(1);
            }
            self.stall_now_and_then();
            // The client's transport does not always notice that its server was killed.
            let is_lost = || self.workload.restarts.load(Ordering::SeqCst) > restarts;
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
        if is_mark(message) || !self.profile.trusts_marks_only {
            self.position = Some(reached);
        }
        if message.action == "PROGRESS" {
            self.workload.tell_progress();
        }
        if !message.list_id.is_empty() {
            self.list_id.clone_from(&message.list_id);
        }
    }

    /// Stalls for longer than it takes to fill the transport's window.
    fn stall_now_and_then(&mut self) {
        if self.profile.stalls_for > 0 && self.rng.below(200) == 0 {
            let until_then = self.workload.newest() + self.profile.stalls_for;
            until("the others go on", || {
                let workload = self.workload;
                workload.newest() >= until_then || workload.rests() || !workload.is_written()
            });
        }
    }

    fn go_on(&mut self, recording: &Recording) {
        let request = &mut self.request;
        // In the middle of a snapshot there is no position: the watch starts over.
        if let Some(position) = self.position {
            request.after_revision = Some(position);
            request.list_id.clone_from(&self.list_id);
            request.snapshot = self.profile.falls_back;
        }
        match &recording.end {
            None => {}
            Some((Code::OUT_OF_RANGE, _)) => {
                // As the contract says: start from the list as it is.
                self.position = None;
                request.after_revision = None;
                request.snapshot = true;
            }
            // CANCELLED: the reason could not be sent to a client that does not read.
            Some((Code::UNAVAILABLE | Code::RESOURCE_EXHAUSTED | Code::CANCELLED, _)) => {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            Some(end) => panic!("{end:?}"),
        }
    }
}

/// Whether the message is only a position to resume from.
fn is_mark(message: &TaskUpdate) -> bool {
    matches!(&*message.action, "SYNCED" | "PROGRESS")
}

/// Checks all recordings of a watcher. The last one must reach the goal.
pub fn check(log: &Log, profile: &WatcherProfile, recordings: &[Recording], goal: i64) {
    let failed = |at: usize, recording: &Recording, (what, found): Broken| -> i64 {
        let Recording { request, called_at, messages, end } = recording;
        panic!(
            "{what:?}: {found}\ncall {at} of {}, {request} at {called_at}, {} messages, {end:?}, by {profile:?}",
            recordings.len(),
            messages.len(),
        )
    };
    for (at, recording) in recordings.iter().enumerate() {
        let position = match at + 1 == recordings.len() {
            true => log.check_up_to(recording, goal),
            false => log.check(recording),
        };
        let _ = position.unwrap_or_else(|broken| failed(at, recording, broken));
    }
}
