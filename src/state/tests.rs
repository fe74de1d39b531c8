//! The actor alone, without a transport.

mod thread;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Command, Mutate, Reply, ReplyTo, StateError};
use crate::model::{
    Action, Answer, Change, Mutation, Request, RequestId, Revision, Task, TaskFields, Timestamp,
    Title,
};

pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// One of many changes of the same task.
pub(super) fn change(revision: Revision, deleted: bool) -> Change {
    let task = Task {
        id: 1,
        title: Title::new("t").unwrap(),
        deleted,
        revision,
        created_at: Timestamp(0),
        updated_at: Timestamp(0),
        completed_at: None,
    };
    Change {
        action: Action::Updated,
        task_id: 1,
        revision,
        batch_revision: revision,
        at: Timestamp(0),
        before: None,
        after: Some(Arc::new(task)),
        request_id: None,
    }
}

impl<T: Send> ReplyTo<T> for Sender<Result<T, StateError>> {
    fn give(self: Box<Self>, reply: Result<T, StateError>) {
        let _ = self.send(reply);
    }
}

type Answers = Receiver<Result<Answer, StateError>>;

fn add_request(title: &str, request_id: &str) -> Request {
    let request_id = RequestId::new(request_id).unwrap();
    Request { request_id, ..Mutation::Add(TaskFields { title: Title::new(title).unwrap() }).into() }
}

fn mutate(request: Request) -> (Command, Answers) {
    let (reply, answer) = bounded(1);
    (Command::Mutate(Mutate { request, reply: Reply::new(reply) }), answer)
}

fn answer(from: &Answers) -> Result<(i32, i64), StateError> {
    match from.recv_timeout(DEADLINE).expect("an answer")? {
        Answer::Task(task) => Ok((task.id, task.revision)),
        Answer::Purged { id, revision } => Ok((id, revision)),
    }
}
