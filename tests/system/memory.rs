//! A server whose memory is limited refuses what does not fit, and stays.

use std::thread;

use todo::client::Code;
use todo::wire::proto::Filter;

use crate::daemon::Daemon;
use crate::harness::{Calls, client};
use crate::load::add_many;

const TASKS: usize = 133_000;

/// Several full listings at a time need more memory than there is. Each is answered in full
/// or refused; a failed allocation would abort the server.
#[test]
fn listings_that_do_not_fit_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::with_limit(dir.path(), "-v 700000", &[]);
    add_many(&daemon.address, TASKS, &"x".repeat(200));
    let answers: Vec<_> = thread::scope(|scope| {
        let listings: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| client(&daemon.address).page(Filter::ANY, 0, "")))
            .collect();
        listings.into_iter().map(|listing| listing.join().unwrap()).collect()
    });
    for answer in answers {
        match answer {
            Ok(page) => assert_eq!(page.tasks.len(), TASKS),
            Err(refused) => assert_eq!(refused.code, Code::ResourceExhausted, "{refused}"),
        }
    }
    let page = client(&daemon.address).page(Filter::ANY, 1_000, "").unwrap();
    assert_eq!(page.tasks.len(), 1_000, "the server still serves pages");
}
