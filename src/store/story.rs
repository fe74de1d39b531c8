//! For tests: the list that a store should hold, made by the model itself.

use std::sync::Arc;

use super::{Batch, CompactionDue, Loaded};
use crate::model::{
    Edit, Guard, Mutation, Outcome, Remembered, RequestId, Revision, Task, TaskId, TaskList,
    Timestamp, Title,
};

/// The list as it should be, and its clock.
pub struct Story {
    pub list: TaskList,
    pub clock: i64,
    dice: Dice,
}

impl Story {
    pub fn of(loaded: &Loaded) -> Story {
        let tasks = loaded.tasks.iter().cloned();
        Story {
            list: TaskList::new(loaded.list_id.clone(), tasks, u32::MAX),
            clock: 1_000,
            dice: Dice(0x9e37_79b9_7f4a_7c15),
        }
    }

    pub fn tasks(&self) -> Vec<Arc<Task>> {
        self.list.after(0).cloned().collect()
    }

    /// One turn: steps such as `add milk; done 1 #id; retitle 1 bread`, of which `#`
    /// gives a request id. Each takes a microsecond.
    pub fn turn(&mut self, script: &str) -> Batch {
        let mut batch = Batch::default();
        for step in script.split(';') {
            let (mutation, guard) = parse(step.trim());
            self.clock += 1;
            batch.now = Timestamp(self.clock);
            let answer = match self.list.apply(&mutation, &guard, batch.now).expect(step) {
                Outcome::Changed(change) => {
                    batch.changes.push(change.clone());
                    change.task
                }
                Outcome::Unchanged(task) => task,
            };
            if let Some(request_id) = guard.request_id.clone() {
                let content = Remembered::content(&mutation, &guard);
                batch.remembered.push(Remembered { request_id, content, answer });
            }
        }
        batch
    }

    /// A step that changes something, as the dice fall. Half of them have a request id.
    pub fn some_step(&mut self) -> String {
        let (clock, dice, tasks) = (self.clock, &mut self.dice, self.list.len() as u64);
        let request_id = match dice.below(2) {
            0 => format!(" #r{clock}"),
            _ => String::new(),
        };
        if tasks == 0 || dice.below(3) == 0 {
            return format!("add task {}{request_id}", tasks + 1);
        }
        let id = dice.below(tasks) as TaskId + 1;
        let task = self.list.get(id).unwrap();
        let step = match dice.below(4) {
            _ if task.deleted => format!("restore {id}"),
            0 => format!("delete {id}"),
            1 if task.completed() => format!("reopen {id}"),
            1 => format!("done {id}"),
            _ => format!("retitle {id} at {clock}"),
        };
        step + &request_id
    }
}

/// Random numbers, the same in each run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % bound
    }
}

/// Compaction is due up to this revision, however young the changes are.
pub fn due_up_to(revision: Revision) -> CompactionDue {
    CompactionDue { up_to: revision, up_to_if_old: 0, made_before: Timestamp(0) }
}

/// One step: a verb with its argument, then `?` and the expected revision, then `#` and
/// the request id, both optional.
pub fn parse(step: &str) -> (Mutation, Guard) {
    let (step, id) = step.split_once('#').unwrap_or((step, ""));
    let (step, expected) = step.split_once(" ?").unwrap_or((step, ""));
    let (verb, argument) = step.trim().split_once(' ').unwrap();
    let guard = Guard {
        request_id: RequestId::new(id).unwrap(),
        expected_revision: expected.trim().parse().ok(),
    };
    let (id, title) = argument.split_once(' ').unwrap_or((argument, ""));
    let edit = match verb {
        "add" => return (Mutation::Add { title: Title::new(argument).unwrap() }, guard),
        "done" => Edit::Complete,
        "reopen" => Edit::Reopen,
        "delete" => Edit::Delete,
        "restore" => Edit::Restore,
        "retitle" => Edit::Retitle(Title::new(title).unwrap()),
        other => panic!("no verb {other}"),
    };
    (Mutation::Edit { id: id.parse().unwrap(), edit }, guard)
}

pub fn id(text: &str) -> RequestId {
    RequestId::new(text).unwrap().unwrap()
}
