//! Listings in pages while the list changes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use todo::client::Edit;
use todo::wire::proto::*;

use crate::harness::{self, Calls, TestServer, next_update, watch};
use todo::state::Limits;

#[test]
fn a_task_that_is_there_throughout_is_on_exactly_one_page() {
    let server = TestServer::start();
    let address = &server.address;
    let client = server.client();
    for n in 0..200 {
        client.add(&format!("task {n}")).unwrap();
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // Even ids come and go, odd ones stay; new ones are added.
        scope.spawn(|| {
            let client = harness::client(address);
            for id in (2..=200).step_by(2).cycle() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                client.edit(id, Edit::Delete).unwrap();
                client.add("new").unwrap();
                client.edit(id, Edit::Restore).unwrap();
                client.edit(id - 1, Edit::Retitle(format!("again {id}"))).unwrap();
            }
        });
        for round in 0..20 {
            let mut ids = Vec::new();
            let mut token = String::new();
            loop {
                let page = client.page(Filter::LIVE, 7, &token).unwrap();
                ids.extend(page.tasks.iter().map(|task| task.id));
                token = page.next_page_token;
                if token.is_empty() {
                    break;
                }
            }
            assert!(ids.is_sorted_by(|a, b| a < b), "round {round}: {ids:?}");
            let stayed: Vec<_> = ids.into_iter().filter(|id| *id < 200 && id % 2 == 1).collect();
            assert_eq!(stayed, (1..200).step_by(2).collect::<Vec<_>>(), "round {round}");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_listing_shows_its_revision_and_list_and_a_token_fits_only_its_list() {
    let server = TestServer::start();
    let client = server.client();
    for title in ["a", "b", "c"] {
        client.add(title).unwrap();
    }
    let first = client.page(Filter::LIVE, 2, "").unwrap();
    assert_eq!((first.revision, &*first.list_id), (3, "test-list"));
    client.edit(3, Edit::Complete).unwrap();
    let last = client.page(Filter::LIVE, 2, &first.next_page_token).unwrap();
    assert_eq!((last.revision, &*last.next_page_token), (4, ""));

    let other =
        TestServer::with(Box::new(todo::store::MemoryStore::new("other-list")), Limits::default());
    let refused = other.client().page(Filter::LIVE, 2, &first.next_page_token).unwrap_err();
    assert_eq!(refused.code, todo::client::Code::InvalidArgument);
}

#[test]
fn our_own_client_pages_and_gets_every_task() {
    let server = TestServer::start();
    let client = server.client();
    let (feed, _) = watch(&client, Filter::ANY);
    for n in 0..2_500 {
        client.add(&format!("task {n}")).unwrap();
    }
    let pages: Vec<_> = client.pages(Filter::OPEN).map(|page| page.unwrap().len()).collect();
    assert_eq!(pages, [1_000, 1_000, 500]);
    assert_eq!(next_update(&feed).task.id, 1);
}
