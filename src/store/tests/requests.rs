use super::*;
use crate::model::{Answer, Fingerprint, IdempotencyRecord, RequestId};
use crate::store::oracle::parse;

/// Commits the batch, forgetting the idempotency records up to a number.
fn commit_and_forget(test: &mut StoreUnderTest, script: &str, forget_requests: RequestNumber) {
    let batch = test.oracle.batch(script);
    committed(&mut *test.store, &Batch { forget_requests, ..batch });
}

#[test]
fn idempotency_records_are_found_by_number() {
    with_each_store(|mut test| {
        // The third changes nothing and is kept, too. The fourth purges, which takes the
        // content of the others.
        let batch = test.oracle.batch("add milk #a; done 1 #b; done 1 #c; delete 1; purge 1 #d");
        committed(&mut *test.store, &batch);
        let more = test.oracle.batch("add eggs #e");
        committed(&mut *test.store, &more);
        let mut expected = [batch.requests, more.requests].concat();
        expected[..4].iter_mut().for_each(IdempotencyRecord::purge);
        assert_eq!(expected.len(), 5);
        assert_eq!(expected[1].answer, Answer::Purged { id: 1, revision: 2 });
        let retry = |title| Fingerprint::new(&parse(&format!("add {title} #a")));
        assert!(expected[0].is_of(&retry("milk")) && expected[0].is_of(&retry("bread")));
        assert!(!expected[0].is_of(&Fingerprint::new(&parse("done 1 #a"))));
        assert!(expected[4].is_of(&retry("eggs")) && !expected[4].is_of(&retry("bread")));
        for (number, request) in (1..).zip(&expected) {
            assert_eq!(test.store.find_request(number).unwrap().as_ref(), Some(request));
        }
        for number in [RequestNumber::MIN, -1, 0, 6, RequestNumber::MAX] {
            assert_eq!(test.store.find_request(number).unwrap(), None, "{number}");
        }
    });
}

#[test]
fn idempotency_records_are_forgotten_up_to_a_number() {
    with_each_store(|mut test| {
        test.commit("add milk #1; add eggs #2; add bread #3; add salt #4");
        for (script, forget, first) in [
            ("done 1 #5", 0, 1),
            ("done 2 #6", 2, 3),
            ("done 3 #7", 1, 3),
            ("add sugar", 4, 5),
            ("done 4 #8", 8, 9),
            ("reopen 4 #9", 8, 9),
        ] {
            commit_and_forget(&mut test, script, forget);
            let last = test.oracle.last_request;
            for number in 1..=last {
                let found = test.store.find_request(number).unwrap();
                let id = RequestId::new(&number.to_string()).unwrap();
                let expected = id.filter(|_| number >= first);
                assert_eq!(found.map(|request| request.request_id), expected, "{script} {number}");
            }
        }
    });
}

#[test]
fn barriers_and_commits_are_reported_in_order() {
    with_each_store(|mut test| {
        test.store.request_barrier();
        test.store.propose(Arc::new(test.oracle.batch("add milk")));
        test.store.request_barrier();
        let events: Vec<_> = std::iter::from_fn(|| test.store.next().unwrap()).collect();
        assert!(
            matches!(events[..], [Event::BarrierPassed, Event::Committed, Event::BarrierPassed]),
            "{events:?}"
        );
        assert!(test.store.is_sole_writer());
        assert!(test.store.ready().try_recv().is_err() && test.store.next_deadline().is_none());
    });
}
