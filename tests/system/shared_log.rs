//! Several servers of one list. Each is a whole server with a store of its own; the stores
//! share one log in memory and fight for it. So what the state thread may assume of a store
//! is tested without another engine.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use todo::client::{CallError, Client, Code};
use todo::limits::{UNREACHABLE_ABANDONS, UNREACHABLE_ENDS_WATCHES, UNREACHABLE_REFUSES};
use todo::model::{self, Answer, IdempotencyRecord, Revision};
use todo::state::Limits;
use todo::store::{
    Batch, BatchLimits, CompactionDue, Event, History, Loaded, MemoryStore, RequestNumber, Store,
    StoreError, StoreErrorKind,
};
use todo::wire::methods;
use todo::wire::proto::*;

use crate::change_log::{Log, list_changes};
use crate::follow::{WatcherProfile, check};
use crate::harness::{self, Calls, DEADLINE, TestServer};
use crate::workload::{FILTERS, Release, Rng, Workload};

/// The log. An entry is appended only at the end that its proposer knows.
#[derive(Default)]
struct SharedLog(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    all: Vec<Arc<Batch>>,
    /// Notifies each store that there is a new entry.
    notify: Vec<Sender<()>>,
}

impl SharedLog {
    fn len(&self) -> usize {
        self.0.lock().all.len()
    }

    fn entry(&self, at: usize) -> Option<Arc<Batch>> {
        self.0.lock().all.get(at).cloned()
    }

    fn append(&self, at: usize, batch: &Arc<Batch>) -> bool {
        let mut entries = self.0.lock();
        if entries.all.len() != at {
            return false;
        }
        entries.all.push(batch.clone());
        // Full: it has not looked since and will find this entry, too.
        entries.notify.iter().for_each(|store| _ = store.try_send(()));
        true
    }
}

/// How often each fault was injected, over all stores.
#[derive(Debug, Default)]
struct Faults {
    conflicts: AtomicU64,
    spurious_conflicts: AtomicU64,
    delays: AtomicU64,
    unknown_committed: AtomicU64,
    unknown_lost: AtomicU64,
    refusals: AtomicU64,
    unreachable: AtomicU64,
}

/// One server's store: the shared log, and a replica of it up to the position.
struct SharedStore {
    log: Arc<SharedLog>,
    faults: Arc<Faults>,
    rng: Rng,
    replica: MemoryStore,
    position: usize,
    proposal: Option<Proposal>,
    /// Where the log ended when each barrier was requested, and when it may pass.
    barriers: VecDeque<(usize, Instant)>,
    /// Events that are due, before anything else.
    events: VecDeque<Event>,
    /// The log is out of reach until then, and whether the owner knows.
    hidden: Option<(Instant, bool)>,
    ready: Receiver<()>,
}

/// A proposal, to be appended after the entry that was the store's last one.
struct Proposal {
    batch: Arc<Batch>,
    base: usize,
    state: ProposalState,
}

enum ProposalState {
    /// To be sent then.
    Delayed(Instant),
    /// Sent, with an outcome that only the log tells.
    Sent,
    /// Rejected by the log.
    Lost,
}

impl SharedStore {
    fn new(log: &Arc<SharedLog>, faults: &Arc<Faults>, seed: u64) -> SharedStore {
        let (notify, ready) = bounded(1);
        log.0.lock().notify.push(notify);
        SharedStore {
            log: log.clone(),
            faults: faults.clone(),
            rng: Rng::new(seed),
            replica: MemoryStore::new("shared-list"),
            position: 0,
            proposal: None,
            barriers: VecDeque::new(),
            events: VecDeque::new(),
            hidden: None,
            ready,
        }
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.rng.below(sides) == 0
    }

    /// Some time until then, up to 3 ms.
    fn later(&mut self) -> Instant {
        Instant::now() + Duration::from_micros(self.rng.below(3_000))
    }

    /// Applies the next entry to the replica.
    fn advance(&mut self, batch: &Arc<Batch>) -> Result<(), StoreError> {
        self.position += 1;
        self.replica.propose(batch.clone());
        assert!(matches!(self.replica.next()?, Some(Event::Committed)));
        Ok(())
    }

    /// Hides the log for a while. If that is reported, then as an outage that began before.
    fn hide(&mut self, is_reported: bool) {
        let until = self.later();
        self.hidden = Some((until, is_reported));
        if is_reported {
            self.faults.unreachable.fetch_add(1, Ordering::Relaxed);
            let lasts = [
                Duration::ZERO,
                UNREACHABLE_REFUSES,
                UNREACHABLE_ABANDONS,
                UNREACHABLE_ENDS_WATCHES,
            ][self.rng.below(4) as usize];
            let since = Instant::now().checked_sub(lasts).expect("the machine runs for longer");
            let reason = "as the test wishes".to_owned();
            self.events.push_back(Event::Unreachable { since, reason });
        }
    }

    /// Tries to append the proposal. It may be that nobody learns of the result for now.
    fn send(&mut self) {
        let is_hidden = self.one_in(10);
        let never_arrives = is_hidden && self.one_in(2);
        let is_refused = !is_hidden && self.one_in(20);
        let Some(proposal) = &mut self.proposal else { return };
        if is_refused {
            self.faults.spurious_conflicts.fetch_add(1, Ordering::Relaxed);
            proposal.state = ProposalState::Lost;
            return;
        }
        proposal.state = ProposalState::Sent;
        let is_appended = !never_arrives && self.log.append(proposal.base, &proposal.batch);
        if is_hidden {
            let counter = match is_appended {
                true => &self.faults.unknown_committed,
                false => &self.faults.unknown_lost,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            let is_reported = self.one_in(4);
            self.hide(is_reported);
        }
    }

    /// What the log says at the position, if it says anything.
    fn read_log(&mut self) -> Result<Option<Event>, StoreError> {
        if let Some(batch) = self.log.entry(self.position) {
            self.advance(&batch)?;
            let own = self.proposal.take_if(|proposal| Arc::ptr_eq(&proposal.batch, &batch));
            return Ok(Some(match own {
                Some(_) => Event::Committed,
                None => Event::Entry(batch),
            }));
        }
        let Some(proposal) = &self.proposal else { return Ok(None) };
        match proposal.state {
            ProposalState::Delayed(_) => Ok(None),
            // It never arrived.
            ProposalState::Sent if proposal.base == self.position => {
                self.send();
                match self.hidden {
                    Some(_) => Ok(self.events.pop_front()),
                    None => self.read_log(),
                }
            }
            ProposalState::Sent | ProposalState::Lost => {
                self.faults.conflicts.fetch_add(1, Ordering::Relaxed);
                self.proposal = None;
                Ok(Some(Event::Conflict))
            }
        }
    }
}

impl Store for SharedStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        while let Some(batch) = self.log.entry(self.position) {
            self.advance(&batch)?;
        }
        self.replica.load()
    }

    fn batch_limits(&self) -> BatchLimits {
        BatchLimits { commands: 4, bytes: 4_096 }
    }

    fn propose(&mut self, batch: Arc<Batch>) {
        assert!(self.proposal.is_none(), "one proposal at a time");
        assert!(!batch.is_empty());
        if self.one_in(25) {
            self.faults.refusals.fetch_add(1, Ordering::Relaxed);
            let why = StoreError::new(StoreErrorKind::Busy, "as the test wishes");
            return self.events.push_back(Event::Refused(why));
        }
        let state = match self.one_in(3) || self.hidden.is_some() {
            true => {
                self.faults.delays.fetch_add(1, Ordering::Relaxed);
                ProposalState::Delayed(self.later())
            }
            false => ProposalState::Sent,
        };
        let is_sent = matches!(state, ProposalState::Sent);
        self.proposal = Some(Proposal { batch, base: self.position, state });
        if is_sent {
            self.send();
        }
    }

    fn is_sole_writer(&self) -> bool {
        false
    }

    fn request_barrier(&mut self) {
        let mut at = match self.one_in(2) {
            true => self.later(),
            false => Instant::now(),
        };
        if self.hidden.is_none() && self.one_in(12) {
            self.hide(true);
            at += Duration::from_millis(5);
        }
        self.barriers.push_back((self.log.len(), at));
    }

    fn next(&mut self) -> Result<Option<Event>, StoreError> {
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        if self.hidden.is_some() {
            return Ok(None);
        }
        // Before any later entry: no more was promised.
        if let Some((end, at)) = self.barriers.front()
            && *end <= self.position
        {
            let has_passed = *at <= Instant::now();
            return Ok(has_passed.then(|| {
                self.barriers.pop_front();
                Event::BarrierPassed
            }));
        }
        self.read_log()
    }

    fn ready(&self) -> &Receiver<()> {
        &self.ready
    }

    fn next_deadline(&self) -> Option<Instant> {
        if let Some((until, _)) = self.hidden {
            return Some(until);
        }
        let sending = self.proposal.as_ref().and_then(|proposal| match proposal.state {
            ProposalState::Delayed(at) => Some(at),
            ProposalState::Sent | ProposalState::Lost => None,
        });
        let barrier = self.barriers.front().map(|(_, at)| *at);
        sending.into_iter().chain(barrier).min()
    }

    fn on_deadline(&mut self, now: Instant) -> Result<(), StoreError> {
        if let Some((until, is_reported)) = self.hidden
            && until <= now
        {
            self.hidden = None;
            if is_reported {
                self.events.push_back(Event::Reachable);
            }
        }
        let is_due = |proposal: &Proposal| match proposal.state {
            ProposalState::Delayed(at) => at <= now,
            ProposalState::Sent | ProposalState::Lost => false,
        };
        if self.hidden.is_none() && self.proposal.as_ref().is_some_and(is_due) {
            self.send();
        }
        Ok(())
    }

    fn find_request(
        &mut self,
        number: RequestNumber,
    ) -> Result<Option<IdempotencyRecord>, StoreError> {
        self.replica.find_request(number)
    }

    fn history(&mut self) -> Result<Box<dyn History>, StoreError> {
        self.replica.history()
    }

    fn compact(&mut self, due: &CompactionDue) -> Result<Revision, StoreError> {
        self.replica.compact(due)
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What a request asks for.
enum Change {
    Add(String),
    /// The task, and which edit.
    Edit(i32, u64),
}

/// A request that was acknowledged, with its answer.
struct Acknowledged {
    request_id: String,
    change: Change,
    answer: Task,
}

/// The servers, and what all writers know.
struct Cluster<'a> {
    workload: &'a Workload,
    newest_task: AtomicI32,
}

impl Cluster<'_> {
    fn clients(&self) -> Vec<Client> {
        self.workload.servers.iter().map(|address| harness::client(address)).collect()
    }

    /// Makes changes on all servers. Returns what was acknowledged.
    fn write(&self, changes: usize, seed: u64) -> Vec<Acknowledged> {
        let _release = Release(self.workload);
        let (mut rng, clients) = (Rng::new(seed), self.clients());
        let mut acknowledged = Vec::new();
        for number in 0..changes {
            let tasks = self.newest_task.load(Ordering::SeqCst);
            let change = match tasks == 0 || rng.below(6) == 0 {
                true => Change::Add(format!("{seed} {number}")),
                false => Change::Edit(1 + rng.below(tasks as u64) as i32, rng.below(5)),
            };
            let request_id = format!("{seed}-{number}");
            let Some(answer) = self.acknowledge(&clients, &change, &request_id, &mut rng) else {
                continue;
            };
            self.workload.newest_is(answer.revision);
            self.newest_task.fetch_max(answer.id, Ordering::SeqCst);
            self.is_visible(&clients[rng.below(clients.len() as u64) as usize], &answer);
            acknowledged.push(Acknowledged { request_id, change, answer });
        }
        acknowledged
    }

    /// Sends the request to one server after the other until one of them executes it, and
    /// now and then to two of them together or once more. `None`: it was rejected.
    fn acknowledge(
        &self,
        clients: &[Client],
        change: &Change,
        request_id: &str,
        rng: &mut Rng,
    ) -> Option<Task> {
        let mut start = rng.below(clients.len() as u64) as usize;
        let mut send = || {
            start += 1;
            send_until_executed(clients, start, change, request_id)
        };
        if rng.below(4) > 0 {
            return send();
        }
        let first = send();
        let again = send();
        if let (Some(first), Some(again)) = (&first, &again) {
            assert_eq!(first, again, "{request_id} was answered twice, not alike");
        }
        let answer = first.or(again)?;
        let together = thread::scope(|scope| {
            let sent: Vec<_> = (0..clients.len())
                .map(|at| scope.spawn(move || send_until_executed(clients, at, change, request_id)))
                .collect();
            sent.into_iter().map(|answer| answer.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(together.iter().all(|other| other.as_ref() == Some(&answer)), "{request_id}");
        Some(answer)
    }

    /// Every server's reads include what any server has acknowledged.
    fn is_visible(&self, client: &Client, answer: &Task) {
        let task = retry(|| client.get(answer.id));
        let revision = answer.revision;
        assert!(task.revision >= revision, "{task} was read after {answer} was acknowledged");
        let page = retry(|| client.page(Filter::ANY, 1, ""));
        assert!(page.revision >= revision, "a list at {} after {answer}", page.revision);
        let after_revision = Some(revision - 1);
        let query = ListChangesRequest { after_revision, page_size: 1, ..Default::default() };
        let changes = retry(|| client.make(&methods::LIST_CHANGES, &query)).changes;
        assert_eq!(changes[0].revision, revision);
        self.is_known_to_rejections(client, answer);
    }

    /// A rejection is a read as well: it must not come from an older list.
    fn is_known_to_rejections(&self, client: &Client, answer: &Task) {
        let (task_id, expected_revision) = (answer.id, Some(0));
        let request = CompleteTaskRequest { task_id, expected_revision, ..Default::default() };
        let said = retry(|| match client.make(&methods::COMPLETE_TASK, &request) {
            Err(why) if why.code == Code::Aborted => Ok(why.message),
            Err(why) => Err(why),
            Ok(done) => panic!("no task is at revision 0: {done}"),
        });
        let (_, at) = said.split_once("is at revision ").unwrap();
        let at: i64 = at.split_once(',').unwrap().0.parse().unwrap();
        assert!(at >= answer.revision, "{said}, after {answer} was acknowledged");
    }
}

/// `None`: it was rejected. A rejection is not recorded, so a later attempt may be executed.
fn send_until_executed(
    clients: &[Client],
    start: usize,
    change: &Change,
    request_id: &str,
) -> Option<Task> {
    let mut at = start;
    retry(|| {
        at += 1;
        match send(&clients[at % clients.len()], change, request_id) {
            Err(why) if why.code == Code::FailedPrecondition => Ok(None),
            answer => answer.map(Some),
        }
    })
}

/// Calls again while the server is unavailable: busy, out of reach, or unsure.
fn retry<T>(mut call: impl FnMut() -> Result<T, CallError>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        match call() {
            Ok(answer) => return answer,
            Err(why) if why.code == Code::Unavailable && Instant::now() < until => {
                thread::park_timeout(Duration::from_millis(1));
            }
            Err(why) => panic!("{why}"),
        }
    }
}

/// One attempt.
fn send(client: &Client, change: &Change, request_id: &str) -> Result<Task, CallError> {
    let request_id = request_id.to_owned();
    let (task_id, edit) = match change {
        Change::Add(title) => return client.add_with(title, &request_id),
        Change::Edit(task_id, edit) => (*task_id, *edit),
    };
    let task = match edit {
        0 => {
            let request = CompleteTaskRequest { task_id, request_id, ..Default::default() };
            client.make(&methods::COMPLETE_TASK, &request)?.task
        }
        1 => {
            let request = ReopenTaskRequest { task_id, request_id, ..Default::default() };
            client.make(&methods::REOPEN_TASK, &request)?.task
        }
        2 => {
            let request = DeleteTaskRequest { task_id, request_id, ..Default::default() };
            client.make(&methods::DELETE_TASK, &request)?.task
        }
        3 => {
            let request = RestoreTaskRequest { task_id, request_id, ..Default::default() };
            client.make(&methods::RESTORE_TASK, &request)?.task
        }
        _ => {
            let title = Some(format!("title {request_id}"));
            let request = UpdateTaskRequest { task_id, title, request_id, ..Default::default() };
            client.make(&methods::UPDATE_TASK, &request)?.task
        }
    };
    Ok(task.unwrap())
}

/// Watchers of every filter, each on whichever server it calls next.
fn watchers() -> Vec<WatcherProfile> {
    let mut watchers = Vec::new();
    for (filter, seed) in FILTERS.into_iter().zip(1..) {
        let mut resuming = WatcherProfile::new(filter, seed).after(0);
        resuming.hangs_up = true;
        resuming.request.max_updates_per_message = 10;
        let mut stalling = WatcherProfile::new(filter, seed + 10).with_snapshot();
        stalling.stalls_for = 100;
        stalling.hangs_up = seed % 2 == 0;
        stalling.falls_back = true;
        stalling.request.progress_interval_ms = 100;
        watchers.extend([resuming, stalling]);
    }
    watchers
}

/// Every acknowledged request is in the log once, with the answer that was given; every
/// other one at most once.
fn check_acknowledged(entries: &[Arc<Batch>], log: &Log, acknowledged: &[Acknowledged]) {
    let mut records = HashMap::new();
    for record in entries.iter().flat_map(|batch| &batch.requests) {
        let id = record.request_id.as_str();
        assert!(records.insert(id, record).is_none(), "{id} was executed twice");
    }
    let mut changes: HashMap<&str, Vec<&TaskUpdate>> = HashMap::new();
    for change in log.changes().iter().filter(|change| !change.request_id.is_empty()) {
        changes.entry(&change.request_id).or_default().push(change);
    }
    for Acknowledged { request_id, change, answer } in acknowledged {
        let record = records.get(&**request_id);
        let record = record.unwrap_or_else(|| panic!("{request_id} was acknowledged and is lost"));
        let Answer::Task(task) = &record.answer else { panic!("nothing is purged") };
        let model::Task { id, revision, deleted, .. } = **task;
        assert_eq!((id, revision, deleted), (answer.id, answer.revision, answer.deleted));
        match changes.get(&**request_id).map(|changes| &changes[..]) {
            Some([one]) => assert_eq!(*one.task, *answer, "{request_id}"),
            Some(several) => panic!("{request_id} made {} changes", several.len()),
            None => {
                assert!(matches!(change, Change::Edit(..)), "{request_id} added nothing");
                assert!(log.had(answer), "a no-op returns the task as it was: {answer}");
            }
        }
    }
}

/// All servers have the list that the log makes, and the same history.
fn check_servers(servers: &[TestServer], log: &Log) {
    for server in servers {
        let client = server.client();
        let pages = retry(|| client.pages(Filter::ANY).collect::<Result<Vec<_>, _>>());
        assert_eq!(pages.concat(), log.tasks_at(log.newest(), Filter::ANY));
        let (changes, last) = retry(|| list_changes(&client, &ListChangesRequest::new()));
        assert_eq!((&*last.list_id, &*changes), ("shared-list", log.changes()));
    }
}

fn servers_share_a_log(servers_count: usize, seed: u64) {
    const WRITERS: u64 = 4;
    const CHANGES: usize = 150;
    let (log, faults) = (Arc::new(SharedLog::default()), Arc::new(Faults::default()));
    let limits = Limits { change_log_changes: 16, ..Limits::default() };
    let start = |seed| TestServer::with(Box::new(SharedStore::new(&log, &faults, seed)), limits);
    // The last one starts from a log with entries.
    let mut servers: Vec<_> = (1..servers_count as u64).map(|n| start(100 * seed + n)).collect();
    retry(|| servers[0].client().add_with("first", "first"));
    servers.push(start(100 * seed));

    let mut workload = Workload::new(&servers[0].address);
    workload.servers = servers.iter().map(|server| server.address.clone()).collect();
    let workload = &workload;
    let cluster = &Cluster { workload, newest_task: AtomicI32::new(1) };
    let watchers = &watchers();
    let (acknowledged, goal, recorded) = thread::scope(|scope| {
        let watching: Vec<_> =
            watchers.iter().map(|profile| scope.spawn(move || workload.follow(profile))).collect();
        let writing: Vec<_> = (1..=WRITERS)
            .map(|n| scope.spawn(move || cluster.write(CHANGES, 100 * seed + n)))
            .collect();
        let acknowledged: Vec<_> =
            writing.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        let goal = workload.finish();
        let recorded: Vec<_> = watching.into_iter().map(|w| w.join().unwrap()).collect();
        (acknowledged, goal, recorded)
    });
    let replayed = retry(|| list_changes(&servers[0].client(), &ListChangesRequest::new()));
    let replayed = Log::new(&replayed.1.list_id, replayed.0);
    for (profile, recordings) in watchers.iter().zip(&recorded) {
        check(&replayed, profile, recordings, goal);
    }
    let entries = log.0.lock().all.clone();
    assert!(entries.iter().flat_map(|batch| &batch.changes).count() as i64 == replayed.newest());
    check_acknowledged(&entries, &replayed, &acknowledged);
    check_servers(&servers, &replayed);
    eprintln!("{} entries, {} acknowledged, {faults:?}", entries.len(), acknowledged.len());
    let Faults {
        conflicts,
        spurious_conflicts,
        delays,
        unknown_committed,
        unknown_lost,
        refusals,
        unreachable,
    } = &*faults;
    for count in [
        conflicts,
        spurious_conflicts,
        delays,
        unknown_committed,
        unknown_lost,
        refusals,
        unreachable,
    ] {
        assert!(count.load(Ordering::Relaxed) > 0, "a fault was never injected: {faults:?}");
    }
}

#[test]
fn two_servers_share_a_log() {
    servers_share_a_log(2, 1);
}

#[test]
fn three_servers_share_a_log() {
    servers_share_a_log(3, 2);
}
