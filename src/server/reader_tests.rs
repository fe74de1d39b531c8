//! Which reads are made, and when.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::*;
use crate::model::Timestamp;
use crate::rpc::Burst;
use crate::server::transport::{CompletionQueue, Requests};
use crate::state::{Hooks, Limits, StateThread, spawn};
use crate::store::MemoryStore;

const DEADLINE: Duration = Duration::from_secs(60);

struct Scene {
    reader: Reader,
    thread: ReaderThread,
    signal: Signal,
    _state: StateThread,
}

impl Scene {
    fn start() -> Scene {
        let (completions, _pump, _pacer) = CompletionQueue::open(Requests::default()).unwrap();
        let hooks = Hooks {
            encode: |changes| Arc::new(Burst::new(changes.iter().copied())),
            delivering: Box::new(|| false),
            turn_done: Box::new(|| {}),
            clock: || Timestamp(0),
        };
        let store = Box::new(MemoryStore::new("l"));
        let (_, state, history) = spawn::<Arc<Burst>>(store, Limits::default(), hooks).unwrap();
        let signal = Signal::new(completions.run_queue().clone());
        let (reader, thread) = Reader::start(history, completions).unwrap();
        Scene { reader, thread, signal, _state: state }
    }

    /// A read of a watch that tells that it was made.
    fn watch(&self, name: &'static str, made: &Sender<&'static str>) -> Asked<()> {
        let made = made.clone();
        self.reader.watch(&self.signal, move |_| {
            made.send(name).unwrap();
            Ok(())
        })
    }

    /// Does something on the reader thread, between two reads.
    fn between(&self, act: impl FnOnce(&mut Reading) + Send + 'static) {
        self.reader.call(move |reading| act(reading.unwrap()));
    }

    /// Returns when the reader thread is in a read, which ends when it is told to.
    fn hold(&self, pending: usize) -> Sender<()> {
        let (begin, begun) = bounded(0);
        let (go_on, may_go_on) = bounded(0);
        self.between(move |reading| {
            begin.send(()).unwrap();
            may_go_on.recv_timeout(DEADLINE).unwrap();
            reading.pending.store(pending, Ordering::Relaxed);
        });
        begun.recv_timeout(DEADLINE).unwrap();
        go_on
    }
}

fn next(made: &Receiver<&'static str>) -> &'static str {
    made.recv_timeout(DEADLINE).unwrap()
}

#[test]
fn what_a_watch_that_is_over_asked_for_is_not_read() {
    let scene = Scene::start();
    let (made, reads) = unbounded();
    let go_on = scene.hold(0);
    drop(scene.watch("of a watch that is over", &made));
    let asked = scene.watch("wanted", &made);
    go_on.send(()).unwrap();
    assert_eq!(next(&reads), "wanted");
    scene.thread.stop();
    assert!(matches!(asked.poll(), Poll::Ready(Ok(()))));
    assert!(reads.is_empty());
}

#[test]
fn watches_wait_while_much_is_not_taken_and_calls_do_not() {
    let scene = Scene::start();
    let (made, reads) = unbounded();
    let go_on = scene.hold(STRETCHES_BYTES_MAX + 1);
    let _asked = scene.watch("of the watch", &made);
    let call = made.clone();
    scene.between(move |_| call.send("of the call").unwrap());
    go_on.send(()).unwrap();
    assert_eq!(next(&reads), "of the call");
    scene.between(|reading| reading.pending.store(0, Ordering::Relaxed));
    assert_eq!(next(&reads), "of the watch");
    scene.thread.stop();
}
