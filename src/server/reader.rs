use std::io;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use grpcio::UnarySink;

use super::outbox::Outbox;
use crate::limits::READS_MAX;
use crate::model::{Rejection, TaskList};
use crate::rpc::{Encoded, PageQuery, status};

/// Builds listings on a thread of its own: a long one would hold up the poll thread,
/// and the state thread even more.
#[derive(Clone)]
pub struct Reader {
    reads: Sender<Read>,
    outbox: Outbox,
}

/// One listing to build and send.
pub struct Read {
    pub list: TaskList,
    pub query: PageQuery,
    pub sink: UnarySink<Encoded>,
}

impl Reader {
    /// The thread ends when the last `Reader` is dropped.
    pub fn start(outbox: Outbox) -> io::Result<(Reader, JoinHandle<()>)> {
        let (reads, queue) = bounded(READS_MAX);
        let thread = {
            let outbox = outbox.clone();
            Builder::new().name("reader".to_owned()).spawn(move || run(&queue, &outbox))?
        };
        Ok((Reader { reads, outbox }, thread))
    }

    pub fn submit(&self, read: Read) {
        let (read, why) = match self.reads.try_send(read) {
            Ok(()) => return,
            Err(TrySendError::Full(read)) => (read, Rejection::QueueFull { max: READS_MAX }),
            Err(TrySendError::Disconnected(read)) => (read, Rejection::ShuttingDown),
        };
        self.outbox.finish(read.sink, move || Err(status(&why)));
    }
}

fn run(queue: &Receiver<Read>, outbox: &Outbox) {
    for read in queue {
        let page = read.query.answer(&read.list).map(|page| Encoded::new(&page));
        outbox.finish(read.sink, move || page.map_err(|why| status(&why)));
        outbox.flush();
    }
}
