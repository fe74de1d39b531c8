use super::*;
use crate::model::Timestamp;

#[test]
fn idempotency_records_survive_restarts() {
    let fixture = Fixture::new();
    let (mut store, loaded) = fixture.open();
    let mut oracle = Oracle::of(&loaded);
    let mut expected = Vec::new();
    // The request that changes nothing is kept, too.
    for script in ["add milk #a", "done 1 #b; retitle 1 bread #c", "done 1 #d", "add eggs"] {
        let batch = oracle.batch(script);
        store.commit(&batch).unwrap();
        expected.extend(batch.requests.into_iter().map(|request| (request, batch.at)));
    }
    let hashes = |from: usize| -> Vec<(u64, Timestamp)> {
        expected[from..].iter().map(|(request, at)| (request.request_id.hash(), *at)).collect()
    };
    for forgotten in [0, 0, 2, 4] {
        if forgotten > 0 {
            let batch = Batch { forget_requests: forgotten, ..oracle.batch("add x") };
            store.commit(&batch).unwrap();
        }
        drop(store);
        let (again, loaded) = fixture.open();
        store = again;
        assert_eq!(loaded.requests, hashes(forgotten as usize));
        assert_eq!(loaded.last_request, 4);
        for (number, (request, _)) in (1..).zip(&expected) {
            let kept = Some(request).filter(|_| number > forgotten);
            assert_eq!(store.find_request(number).unwrap().as_ref(), kept);
        }
    }
}
