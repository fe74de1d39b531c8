//! Two thousand watchers.

use std::thread;

use crossbeam_channel::bounded;
use futures_executor::block_on;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use grpcio::{CallOption, Client};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use todo::wire::methods;
use todo::wire::proto::*;

use crate::daemon::Daemon;
use crate::harness::{client, receive};
use crate::load::add_many;
use crate::stream::{environment, raw_in};
use crate::workload::FILTERS;

/// Half of them have a connection each, half share a few.
const WATCHERS: usize = 2_000;
const CONNECTIONS_SHARED: usize = 4;
const CHANGES: usize = 300;

fn connections(address: &str) -> Vec<Client> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let env = environment();
    let connect = || raw_in(&env, address, |channel| channel);
    let shared: Vec<_> = (0..CONNECTIONS_SHARED).map(|_| connect()).collect();
    let own = (0..WATCHERS / 2).map(|_| connect());
    own.chain(shared.iter().cycle().take(WATCHERS / 2).cloned()).collect()
}

#[test]
fn two_thousand_watchers_each_get_every_change_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path(), &[]);
    let connections = connections(&daemon.address);
    let (say_synced, synced) = bounded(WATCHERS);
    let (say_done, done) = bounded(WATCHERS);
    let (say_next, next) = bounded(WATCHERS);
    let watch = |n: usize, connection: &Client| {
        let request = WatchTasksRequest {
            after_revision: Some(0),
            filter: [Filter::ANY, FILTERS[0], FILTERS[1]][n % 3].into(),
            max_updates_per_message: [1, 100][n % 2],
            ..Default::default()
        };
        let option = CallOption::default();
        let mut stream =
            connection.server_streaming(&methods::WATCH_TASKS, &request, option).unwrap();
        let (say_synced, say_done, say_next) =
            (say_synced.clone(), say_done.clone(), say_next.clone());
        async move {
            let mut seen = 0;
            while seen < CHANGES as i64 {
                let mut message = stream.next().await.expect("the stream continues").unwrap();
                if message.action == "SYNCED" {
                    say_synced.send(()).unwrap();
                    continue;
                }
                let more = std::mem::take(&mut message.more);
                for update in std::iter::once(message).chain(more) {
                    seen += 1;
                    assert_eq!((update.revision, &*update.action), (seen, "ADDED"), "watcher {n}");
                }
            }
            say_done.send(()).unwrap();
            // Made when all are done: a duplicate would come before it.
            let one_more = stream.next().await.expect("the stream continues").unwrap();
            assert_eq!((one_more.revision, one_more.more.len()), (seen + 1, 0), "watcher {n}");
            say_next.send(()).unwrap();
            stream
        }
    };
    let watches: FuturesUnordered<_> =
        connections.iter().enumerate().map(|(n, connection)| watch(n, connection)).collect();
    let watching = thread::spawn(move || drop(block_on(watches.collect::<Vec<_>>())));
    for n in 0..WATCHERS {
        receive(&synced, &format!("SYNCED of watcher {n}"));
    }
    add_many(&daemon.address, CHANGES, "task");
    for n in 0..WATCHERS {
        receive(&done, &format!("the last change for watcher {n}"));
    }
    client(&daemon.address).add("one more").unwrap();
    for n in 0..WATCHERS {
        receive(&next, &format!("one more change for watcher {n}"));
    }
    watching.join().unwrap();
}
