//! The service as users of tonic write it: a list behind a mutex, and a broadcast channel for
//! the watchers. It is in memory, so nothing is durable. `bench-tonic PORT` prints
//! `listening on ..` when it accepts calls.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use prost_types::Timestamp;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

mod proto {
    tonic::include_proto!("todo");
}
use proto::todo_service_server::{TodoService, TodoServiceServer};
use proto::*;

/// The number of updates that a watcher may lag behind; it misses older ones. This is enough
/// for all updates of a run: with the usual 1,024 the watchers missed a third.
const UPDATES_KEPT: usize = 16_384;

#[derive(Default)]
struct List {
    tasks: Vec<Task>,
    revision: i64,
}

#[derive(Clone)]
struct Todo {
    list: Arc<Mutex<List>>,
    updates: broadcast::Sender<TaskUpdate>,
}

impl Todo {
    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called with the list locked, so that the updates are in order.
    fn publish(&self, task: &Task, action: &str) {
        let update = TaskUpdate {
            task: Some(task.clone()),
            action: action.to_owned(),
            revision: task.revision,
            ..Default::default()
        };
        // Fails if there are no watchers.
        let _ = self.updates.send(update);
    }
}

#[tonic::async_trait]
impl TodoService for Todo {
    async fn add_task(
        &self,
        request: Request<AddTaskRequest>,
    ) -> Result<Response<AddTaskResponse>, Status> {
        let now = now();
        let mut list = self.list();
        list.revision += 1;
        let task = Task {
            id: list.tasks.len() as i32 + 1,
            title: request.into_inner().title,
            revision: list.revision,
            created_at: Some(now),
            updated_at: Some(now),
            ..Default::default()
        };
        list.tasks.push(task.clone());
        self.publish(&task, "ADDED");
        Ok(Response::new(AddTaskResponse { task: Some(task) }))
    }

    async fn get_tasks(
        &self,
        request: Request<GetTasksRequest>,
    ) -> Result<Response<GetTasksResponse>, Status> {
        let page_size = request.into_inner().page_size as usize;
        let list = self.list();
        let count = if page_size == 0 { list.tasks.len() } else { page_size };
        Ok(Response::new(GetTasksResponse {
            tasks: list.tasks.iter().take(count).cloned().collect(),
            revision: list.revision,
            ..Default::default()
        }))
    }

    async fn complete_task(
        &self,
        request: Request<CompleteTaskRequest>,
    ) -> Result<Response<CompleteTaskResponse>, Status> {
        let id = request.into_inner().task_id;
        let mut list = self.list();
        let revision = list.revision + 1;
        let task = usize::try_from(id - 1)
            .ok()
            .and_then(|at| list.tasks.get_mut(at))
            .ok_or_else(|| Status::not_found("Task not found"))?;
        let now = now();
        task.completed = true;
        task.revision = revision;
        task.updated_at = Some(now);
        task.completed_at = Some(now);
        let task = task.clone();
        list.revision = revision;
        self.publish(&task, "COMPLETED");
        Ok(Response::new(CompleteTaskResponse { success: true, task: Some(task) }))
    }

    type WatchTasksStream = Pin<Box<dyn Stream<Item = Result<TaskUpdate, Status>> + Send>>;

    async fn watch_tasks(
        &self,
        _request: Request<WatchTasksRequest>,
    ) -> Result<Response<Self::WatchTasksStream>, Status> {
        let updates = BroadcastStream::new(self.updates.subscribe());
        Ok(Response::new(Box::pin(updates.filter_map(Result::ok).map(Ok))))
    }

    async fn list_changes(
        &self,
        _request: Request<ListChangesRequest>,
    ) -> Result<Response<ListChangesResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn get_task(
        &self,
        _request: Request<GetTaskRequest>,
    ) -> Result<Response<GetTaskResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn update_task(
        &self,
        _request: Request<UpdateTaskRequest>,
    ) -> Result<Response<UpdateTaskResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn reopen_task(
        &self,
        _request: Request<ReopenTaskRequest>,
    ) -> Result<Response<ReopenTaskResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn delete_task(
        &self,
        _request: Request<DeleteTaskRequest>,
    ) -> Result<Response<DeleteTaskResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn restore_task(
        &self,
        _request: Request<RestoreTaskRequest>,
    ) -> Result<Response<RestoreTaskResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn purge_task(
        &self,
        _request: Request<PurgeTaskRequest>,
    ) -> Result<Response<PurgeTaskResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).ok_or("usage: bench-tonic PORT")?;
    let incoming = TcpIncoming::bind(format!("127.0.0.1:{port}").parse()?)?;
    println!("listening on {}", incoming.local_addr()?);
    let (updates, _) = broadcast::channel(UPDATES_KEPT);
    let todo = Todo { list: Arc::default(), updates };
    Server::builder()
        .add_service(TodoServiceServer::new(todo))
        .serve_with_incoming(incoming.with_nodelay(Some(true)))
        .await?;
    Ok(())
}
