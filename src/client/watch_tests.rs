//! A watch against a server that does what a script says.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use expect_test::expect;
use futures_executor::block_on;
use futures_util::SinkExt;
use grpcio::{
    EnvBuilder, Environment, RpcStatus, RpcStatusCode, Server, ServerBuilder, ServerCredentials,
    ServiceBuilder, WriteFlags,
};
use parking_lot::Mutex;

use super::*;
use crate::client::proto::{Filter, GetTasksResponse, TaskUpdate, WatchTasksRequest};
use crate::client::{Code, Position, WatchStart};
use crate::wire::methods;

/// How long a test waits for what must come. It is not a measure of speed.
const DEADLINE: Duration = Duration::from_secs(60);

/// What one call does: updates such as `ADDED 5`, or `ADDED 4-5` with the previous revision
/// 4; packed ones such as `ADDED 5 + DELETED 6`; then a status such as `14`, or `silence`.
/// `list m` replaces the list; `list ` makes the server the reference example's.
type Script = &'static [&'static str];

struct Scripted {
    server: Server,
    _env: Arc<Environment>,
    address: String,
    asked: Arc<Mutex<Vec<WatchTasksRequest>>>,
}

impl Scripted {
    /// The list is `l` at revision 4.
    fn start(list_id: &'static str, scripts: &[Script]) -> Scripted {
        let env = Arc::new(EnvBuilder::new().cq_count(1).build());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let scripts = Arc::new(Mutex::new(VecDeque::from(scripts.to_vec())));
        let list = Arc::new(Mutex::new(list_id));
        let (requests, listed) = (asked.clone(), list.clone());
        let silent = Arc::new(Mutex::new(Vec::new()));
        let service = ServiceBuilder::new()
            .add_unary_handler(&methods::GET_TASKS, move |ctx, _, sink| {
                let list_id = listed.lock().to_owned();
                let page = GetTasksResponse { list_id, revision: 4, ..Default::default() };
                let answer = sink.success(page);
                ctx.spawn(async { drop(answer.await) });
            })
            .add_server_streaming_handler(&methods::WATCH_TASKS, move |ctx, request, mut sink| {
                requests.lock().push(request);
                let script = scripts.lock().pop_front().unwrap_or(&["silence"]);
                let (silent, list) = (silent.clone(), list.clone());
                ctx.spawn(async move {
                    for step in script {
                        if let Ok(code) = step.parse() {
                            let status = RpcStatus::with_message(code_of(code), "so".to_owned());
                            let _ = sink.fail(status).await;
                            return;
                        }
                        if let Some(list_id) = step.strip_prefix("list ") {
                            *list.lock() = list_id;
                            continue;
                        }
                        if *step == "silence" {
                            // Dropped, it would cancel the call.
                            silent.lock().push(sink);
                            return;
                        }
                        let _ = sink.send((message(step), WriteFlags::default())).await;
                    }
                });
            })
            .build();
        let builder = ServerBuilder::new(env.clone()).register_service(service);
        let mut server = builder.requests_slot_per_cq(8).build().unwrap();
        let insecure = ServerCredentials::insecure();
        let port = server.add_listening_port("127.0.0.1:0", insecure).unwrap();
        server.start();
        Scripted { server, _env: env, address: format!("127.0.0.1:{port}"), asked }
    }

    fn watch(&self, options: WatchOptions, silence_max: Duration) -> Watch {
        let options = WatchOptions { silence_max, ..options };
        Client::new(&self.address, DEADLINE).unwrap().watch(options).unwrap()
    }

    /// Returns the first events of a watch, or all if it ends before, and its requests.
    fn events(&self, options: WatchOptions, events: usize) -> String {
        let watch = self.watch(options, DEADLINE);
        let deadline = Instant::now() + DEADLINE;
        let mut told = String::new();
        for _ in 0..events {
            match watch.events().recv_deadline(deadline) {
                Ok(event) => told += &self.shown(&event),
                Err(crossbeam_channel::RecvTimeoutError::Disconnected) => {
                    told += "end\n";
                    break;
                }
                Err(e) => panic!("{e} after:\n{told}"),
            }
        }
        for request in &*self.asked.lock() {
            told += &format!(
                "requested after {:?} of {:?}, snapshot {}, progress {} ms, packed {}\n",
                request.after_revision,
                request.list_id,
                request.snapshot,
                request.progress_interval_ms,
                request.max_updates_per_message
            );
        }
        told
    }

    fn shown(&self, event: &WatchEvent) -> String {
        let text = match event {
            WatchEvent::Connected { is_todod: true } => "connected".to_owned(),
            WatchEvent::Connected { is_todod: false } => "connected to the example's".to_owned(),
            WatchEvent::Update(update) => format!("{} {}", update.action, update.revision),
            WatchEvent::Lost(e) => format!("lost: {} {e}", e.code.name()),
            WatchEvent::Ended(e) => format!("ended: {} {e}", e.code.name()),
        };
        text.replace(&self.address, "SERVER") + "\n"
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        let shutdown = self.server.shutdown();
        self.server.cancel_all_calls();
        let _ = block_on(shutdown);
    }
}

fn code_of(number: i32) -> RpcStatusCode {
    RpcStatusCode::from(number)
}

fn message(step: &str) -> TaskUpdate {
    let mut updates = step.split(" + ").map(|text| {
        let (action, revisions) = text.split_once(' ').unwrap();
        let (previous, revision) = revisions.split_once('-').unwrap_or(("0", revisions));
        let list_id = if action == "SYNCED" { "l" } else { "" };
        TaskUpdate {
            action: action.to_owned(),
            revision: revision.parse().unwrap(),
            previous_revision: previous.parse().unwrap(),
            list_id: list_id.to_owned(),
            ..Default::default()
        }
    });
    let mut first = updates.next().unwrap();
    first.more = updates.collect();
    first
}

fn options(filter: Filter, start: WatchStart) -> WatchOptions {
    WatchOptions { filter, start, reconnect: true, ..Default::default() }
}

fn after(revision: i64, or_snapshot: bool) -> WatchStart {
    let position = Position { list_id: "l".to_owned(), revision };
    WatchStart::After { position, or_snapshot }
}

#[test]
fn a_watch_from_now_resumes_and_unpacks() {
    let server = Scripted::start(
        "l",
        &[
            &["14"],
            &["SYNCED 4", "ADDED 5 + ADDED 6 + COMPLETED 7", "14"],
            &["8"],
            &["ADDED 8", "SYNCED 8", "PROGRESS 8", "ADDED 9", "13"],
            &["SYNCED 9", "14"],
        ],
    );
    expect![[r#"
        lost: UNAVAILABLE cannot reach SERVER: so
        connected
        SYNCED 4
        ADDED 5
        ADDED 6
        COMPLETED 7
        lost: UNAVAILABLE cannot reach SERVER: so
        connected
        ADDED 8
        SYNCED 8
        PROGRESS 8
        ADDED 9
        lost: INTERNAL so
        connected
        SYNCED 9
        lost: UNAVAILABLE cannot reach SERVER: so
        requested after Some(4) of "l", snapshot false, progress 10000 ms, packed 1000
        requested after Some(4) of "l", snapshot false, progress 10000 ms, packed 1000
        requested after Some(7) of "l", snapshot false, progress 10000 ms, packed 1000
        requested after Some(7) of "l", snapshot false, progress 10000 ms, packed 1000
        requested after Some(9) of "l", snapshot false, progress 10000 ms, packed 1000
    "#]]
    .assert_eq(&server.events(options(Filter::ANY, WatchStart::Now), 16));
}

#[test]
fn a_snapshot_comes_again_only_if_it_was_incomplete_or_history_was_compacted() {
    let server = Scripted::start(
        "l",
        &[
            &["RESET 0", "SNAPSHOT 0", "14"],
            &["RESET 0", "SNAPSHOT 0", "SYNCED 4", "14"],
            &["ADDED 5", "SYNCED 5", "14"],
            &["RESET 0", "SYNCED 9", "ADDED 10", "14"],
        ],
    );
    expect![[r#"
        connected
        RESET 0
        SNAPSHOT 0
        lost: UNAVAILABLE cannot reach SERVER: so
        connected
        RESET 0
        SNAPSHOT 0
        SYNCED 4
        lost: UNAVAILABLE cannot reach SERVER: so
        connected
        ADDED 5
        SYNCED 5
        lost: UNAVAILABLE cannot reach SERVER: so
        connected
        RESET 0
        SYNCED 9
        ADDED 10
        lost: UNAVAILABLE cannot reach SERVER: so
        requested after None of "", snapshot true, progress 10000 ms, packed 1000
        requested after None of "", snapshot true, progress 10000 ms, packed 1000
        requested after Some(4) of "l", snapshot true, progress 10000 ms, packed 1000
        requested after Some(5) of "l", snapshot true, progress 10000 ms, packed 1000
    "#]]
    .assert_eq(&server.events(options(Filter::ANY, WatchStart::Snapshot), 18));
}

#[test]
fn an_error_that_is_not_transient_ends_the_watch_also_after_a_loss() {
    for (code, name) in [(3, "INVALID_ARGUMENT"), (11, "OUT_OF_RANGE"), (12, "UNIMPLEMENTED")] {
        let script: Script = match code {
            3 => &["3"],
            11 => &["11"],
            _ => &["12"],
        };
        let server = Scripted::start("l", &[&["SYNCED 4", "14"], &["14"], script, &["SYNCED 4"]]);
        let told = server.events(options(Filter::ANY, WatchStart::Now), 9);
        let events: Vec<_> =
            told.lines().take_while(|line| !line.starts_with("requested")).collect();
        assert_eq!(events.len(), 5, "{told}");
        assert!(events[3].starts_with(&format!("ended: {name} ")), "{told}");
        assert_eq!(events[4], "end", "{told}");
    }
}

#[test]
fn compacted_history_is_not_fatal_if_a_snapshot_is_accepted() {
    for (start, first) in [
        (WatchStart::Snapshot, &["RESET 0", "SYNCED 4", "11"][..]),
        (after(3, true), &["ADDED 4", "SYNCED 4", "11"]),
    ] {
        let server = Scripted::start("l", &[first, &["RESET 0", "SYNCED 9", "14"]]);
        let told = server.events(options(Filter::ANY, start), 7);
        let again = "SYNCED 4\nlost: OUT_OF_RANGE so\nconnected\nRESET 0\nSYNCED 9\n";
        assert!(told.contains(again), "{told}");
    }
}

#[test]
fn a_gap_or_an_unrequested_reset_is_requested_again_from_the_last_good_position() {
    let server = Scripted::start(
        "l",
        &[
            // Nothing of a message with a gap is taken.
            &["ADDED 3", "ADDED 3-4 + ADDED 5-6", "silence"],
            &["ADDED 3 + ADDED 3-4", "14"],
            &["RESET 0", "silence"],
            &["ADDED 5", "SYNCED 5", "silence"],
        ],
    );
    let mut from = options(Filter::OPEN, after(2, false));
    from.progress = Duration::from_millis(1);
    expect![[r#"
        connected
        ADDED 3
        lost: INTERNAL SERVER broke the order of the watch: revision 6 follows revision 5, which did not come: the last was 4
        connected
        ADDED 4
        lost: UNAVAILABLE cannot reach SERVER: so
        connected
        ADDED 5
        SYNCED 5
        requested after Some(2) of "l", snapshot false, progress 100 ms, packed 1000
        requested after Some(3) of "l", snapshot false, progress 100 ms, packed 1000
        requested after Some(4) of "l", snapshot false, progress 100 ms, packed 1000
        requested after Some(4) of "l", snapshot false, progress 100 ms, packed 1000
    "#]]
    .assert_eq(&server.events(from, 9));
}

#[test]
fn a_silent_call_is_lost() {
    let server = Scripted::start("l", &[&["SYNCED 4", "silence"]]);
    let watch = server.watch(options(Filter::ANY, WatchStart::Now), Duration::from_millis(50));
    loop {
        if let WatchEvent::Lost(why) = watch.events().recv_timeout(DEADLINE).unwrap() {
            assert_eq!(why.code, Code::Unavailable);
            assert_eq!(why.message, format!("{} sent nothing for 50ms", server.address));
            break;
        }
    }
    while server.asked.lock().len() < 2 {
        assert!(watch.events().recv_timeout(Duration::from_millis(1)).is_err());
    }
}

#[test]
fn the_examples_server_is_live_and_may_be_silent() {
    let server = Scripted::start("", &[&["ADDED 0", "ADDED 0", "14"], &["ADDED 0", "14"]]);
    expect![[r#"
        connected to the example's
        ADDED 0
        ADDED 0
        lost: UNAVAILABLE cannot reach SERVER: so
        connected to the example's
        ADDED 0
        requested after None of "", snapshot false, progress 10000 ms, packed 1000
        requested after None of "", snapshot false, progress 10000 ms, packed 1000
    "#]]
    .assert_eq(&server.events(options(Filter::LIVE, WatchStart::Now), 6));
    let told = server.events(options(Filter::LIVE, after(3, true)), 9);
    let why = "ended: UNIMPLEMENTED the server at SERVER keeps no history: use todod\nend\n";
    assert!(told.starts_with(why), "{told}");
    // No PROGRESS is due from it.
    let watch = server.watch(options(Filter::LIVE, WatchStart::Now), Duration::ZERO);
    let connected = watch.events().recv_timeout(DEADLINE).unwrap();
    assert_eq!(connected, WatchEvent::Connected { is_todod: false });
    let more = watch.events().recv_timeout(Duration::from_millis(50));
    assert!(more.is_err(), "{more:?}");
}

#[test]
fn the_examples_server_in_between_resets_a_snapshot_and_ends_a_resumed_watch() {
    let scripts: [Script; 4] = [
        &["RESET 0", "SYNCED 4", "list ", "14"],
        &["ADDED 0", "list l", "14"],
        &["RESET 0", "SYNCED 4"],
        &["SYNCED 4", "list ", "14"],
    ];
    let server = Scripted::start("l", &scripts);
    expect![[r#"
        connected
        RESET 0
        SYNCED 4
        lost: UNAVAILABLE cannot reach SERVER: so
        connected to the example's
        ADDED 0
        lost: UNAVAILABLE cannot reach SERVER: so
        connected
        RESET 0
        SYNCED 4
        requested after None of "", snapshot true, progress 10000 ms, packed 1000
        requested after None of "", snapshot true, progress 10000 ms, packed 1000
        requested after None of "", snapshot true, progress 10000 ms, packed 1000
    "#]]
    .assert_eq(&server.events(options(Filter::ANY, WatchStart::Snapshot), 10));
    let told = server.events(options(Filter::ANY, WatchStart::Now), 9);
    let why = "ended: UNIMPLEMENTED the server at SERVER keeps no history: use todod\nend\n";
    assert!(told.contains(why), "{told}");
}

#[test]
fn a_position_without_a_list_is_on_the_servers_list() {
    let server = Scripted::start("l", &[&["ADDED 3", "ADDED 9", "SYNCED 9"]]);
    let position = Position { list_id: String::new(), revision: 2 };
    let start = WatchStart::After { position, or_snapshot: true };
    expect![[r#"
        connected
        ADDED 3
        ADDED 9
        SYNCED 9
        requested after Some(2) of "l", snapshot true, progress 10000 ms, packed 1000
    "#]]
    .assert_eq(&server.events(options(Filter::OPEN, start), 4));
}

#[test]
fn dropping_a_watch_ends_it_whatever_it_waits_for() {
    let silent = Scripted::start("l", &[&["SYNCED 4", "silence"]]);
    let watch = silent.watch(options(Filter::ANY, WatchStart::Now), DEADLINE);
    while watch.events().recv_timeout(DEADLINE).unwrap() != WatchEvent::Update(message("SYNCED 4"))
    {
    }
    let start = Instant::now();
    drop(watch);
    let nobody = Client::new("127.0.0.1:1", DEADLINE).unwrap();
    let watch = nobody.watch(options(Filter::ANY, WatchStart::Now)).unwrap();
    assert!(matches!(watch.events().recv_timeout(DEADLINE), Ok(WatchEvent::Lost(_))));
    drop(watch);
    assert!(start.elapsed() < DEADLINE / 2);
}
