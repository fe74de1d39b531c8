//! Which reads are made, and when.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::*;
use crate::model::Timestamp;
use crate::server::transport::{CompletionQueue, Requests};
use crate::state::{Hooks, Limits, Running, StateThread, spawn};
use crate::store::MemoryStore;

const DEADLINE: Duration = Duration::from_secs(60);

struct Fixture {
    readers: Readers,
    threads: ReaderThreads,
    signal: Signal,
    _state: StateThread,
}

impl Fixture {
    fn start() -> Fixture {
        let (completions, _pump, _pacer) = CompletionQueue::open(Requests::default()).unwrap();
        let hooks = Hooks { flush: Box::new(|| {}), clock: || Timestamp(0) };
        let store = Box::new(MemoryStore::new("l"));
        let Running { thread: state, log, histories, .. } =
            spawn(store, Limits::default(), hooks, 1).unwrap();
        let signal = Signal::new(completions.run_queue().clone());
        let (readers, threads) = Readers::start(histories, &log, &completions).unwrap();
        Fixture { readers, threads, signal, _state: state }
    }

    /// A read for a stream that reports that it was made.
    fn watch(&self, name: &'static str, made: &Sender<&'static str>) -> PendingRead<()> {
        let made = made.clone();
        self.readers.watch(&self.signal, move |_| {
            made.send(name).unwrap();
            Ok(())
        })
    }

    /// Does something on the reader thread, between two reads.
    fn between(&self, act: impl FnOnce(&mut ReadContext) + Send + 'static) {
        self.readers.call(move |context| act(context.unwrap()));
    }

    /// Returns when the reader thread is in a read, which ends when the sender says so.
    fn hold(&self, pending: usize) -> Sender<()> {
        let (begin, begun) = bounded(0);
        let (go_on, may_go_on) = bounded(0);
        self.between(move |context| {
            begin.send(()).unwrap();
            may_go_on.recv_timeout(DEADLINE).unwrap();
            context.shared.pending.store(pending, Ordering::Relaxed);
        });
        begun.recv_timeout(DEADLINE).unwrap();
        go_on
    }
}

fn next(made: &Receiver<&'static str>) -> &'static str {
    made.recv_timeout(DEADLINE).unwrap()
}

#[test]
fn reads_of_ended_watches_are_skipped() {
    let fixture = Fixture::start();
    let (made, reads) = unbounded();
    let go_on = fixture.hold(0);
    drop(fixture.watch("of an ended watch", &made));
    let asked = fixture.watch("wanted", &made);
    go_on.send(()).unwrap();
    assert_eq!(next(&reads), "wanted");
    fixture.threads.stop();
    assert!(matches!(asked.poll(), Poll::Ready(Ok(()))));
    assert!(reads.is_empty());
}

#[test]
fn streams_wait_while_clients_have_much_to_take_and_calls_do_not() {
    let fixture = Fixture::start();
    let (made, reads) = unbounded();
    let go_on = fixture.hold(STREAM_READS_BYTES_MAX + 1);
    let _asked = fixture.watch("of the watch", &made);
    let call = made.clone();
    fixture.between(move |_| call.send("of the call").unwrap());
    go_on.send(()).unwrap();
    assert_eq!(next(&reads), "of the call");
    fixture.between(|context| context.shared.pending.store(0, Ordering::Relaxed));
    assert_eq!(next(&reads), "of the watch");
    fixture.threads.stop();
}
