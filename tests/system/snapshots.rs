//! Snapshot and stream meet without gap or duplicate, however long the snapshot takes.

use todo::client::Edit;
use todo::limits::PINNED_SNAPSHOTS_MAX;
use todo::wire::proto::*;

use crate::abuse::narrow;
use crate::change_log::Log;
use crate::checker::Recording;
use crate::harness::{Calls, TestServer};
use crate::load::add_many;
use crate::stream::{Stream, environment, raw_in};
use crate::workload::FILTERS;

/// More snapshots are being sent than the server pins versions of the list: watches that
/// share an older version receive the changes since then before SYNCED.
#[test]
fn more_slow_snapshots_than_old_lists_all_meet_their_streams() {
    let server = TestServer::start();
    let client = server.client();
    // Far more than the transport buffers for a client that does not read.
    add_many(&server.address, 1_000, &"x".repeat(500));
    let env = environment();
    let mut slow = Vec::new();
    let large = std::iter::repeat_n(Filter::ANY, PINNED_SNAPSHOTS_MAX);
    for (id, filter) in (1..).zip(large.chain(FILTERS).chain(FILTERS)) {
        let request =
            WatchTasksRequest { snapshot: true, filter: filter.into(), ..Default::default() };
        let called_at = client.revision();
        let connection = raw_in(&env, &server.address, narrow);
        let stream = Stream::open_lazy(&connection, &request);
        let reset = stream.update();
        slow.push((stream, Recording { request, called_at, messages: vec![reset], end: None }));
        // Each snapshot is of another revision.
        client.edit(id, Edit::Complete).unwrap();
        client.edit(id + 100, Edit::Delete).unwrap();
    }
    let recordings: Vec<_> = slow
        .into_iter()
        .map(|(stream, mut recording)| {
            recording.messages.extend(stream.up_to("SYNCED"));
            (stream, recording)
        })
        .collect();
    client.add("the last one").unwrap();
    client.edit(1, Edit::Complete).unwrap();
    let log = Log::fetch(&client);
    for (n, (_, recording)) in recordings.iter().enumerate() {
        log.check(recording).unwrap_or_else(|broken| panic!("snapshot {n}: {broken:?}"));
    }
}
