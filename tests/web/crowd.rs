//! Five hundred event streams.

use std::thread;

use crate::app;
use crate::http::{Events, post, revision_of};

const BROWSERS: usize = 500;
const READERS: usize = 10;
const CHANGES: i64 = 200;

#[test]
fn five_hundred_streams_each_get_every_change_in_order() {
    let (server, app) = app::start();
    server.client().add("before").unwrap();
    let mut browsers: Vec<_> = (0..BROWSERS).map(|_| Events::open(app.address, "any")).collect();
    for browser in &mut browsers {
        let (tasks, place) = browser.snapshot();
        assert_eq!((tasks.len(), &*place), (1, "test-list:1"));
    }
    for n in 0..CHANGES {
        let json = format!(r#"{{"title":"task {n}"}}"#);
        assert_eq!(post(app.address, "AddTask", &json).status, 200);
    }
    thread::scope(|scope| {
        for browsers in browsers.chunks_mut(BROWSERS / READERS) {
            scope.spawn(|| {
                for browser in browsers {
                    let updates = browser.updates_to(CHANGES + 1);
                    let revisions: Vec<_> =
                        updates.iter().map(|(update, _)| revision_of(update)).collect();
                    assert_eq!(revisions, (2..=CHANGES + 1).collect::<Vec<_>>());
                }
            });
        }
    });
}
