"""A server that behaves as the teaching example's: run_example_server.py PORT

Port 0 picks one. Prints `listening on 127.0.0.1:PORT` once it takes calls.
It keeps the example's weaknesses: nothing is stored, any title goes, completing
twice is told twice, and ten watchers use up all its threads.
"""

import queue
import sys
import threading
from concurrent import futures

import grpc
from example_stubs import pb, rpc


class TodoService(rpc.TodoServiceServicer):
    def __init__(self):
        self.lock = threading.Lock()
        self.tasks = []
        self.pending = {}  # by watcher: the updates it has yet to send

    def _publish(self, task, action):
        update = pb.TaskUpdate(task=task, action=action)
        for updates in list(self.pending.values()):
            updates.put(update)

    def AddTask(self, request, context):
        with self.lock:
            task = pb.Task(id=len(self.tasks) + 1, title=request.title, completed=False)
            self.tasks.append(task)
            self._publish(task, "ADDED")
            return pb.AddTaskResponse(task=task)

    def GetTasks(self, request, context):
        return pb.GetTasksResponse(tasks=self.tasks)

    def CompleteTask(self, request, context):
        with self.lock:
            for task in self.tasks:
                if task.id == request.task_id:
                    task.completed = True
                    self._publish(task, "COMPLETED")
                    return pb.CompleteTaskResponse(success=True)
            context.set_code(grpc.StatusCode.NOT_FOUND)
            context.set_details("Task not found")
            return pb.CompleteTaskResponse(success=False)

    def WatchTasks(self, request, context):
        updates = self.pending[context.peer()] = queue.SimpleQueue()
        context.add_callback(lambda: updates.put(None))  # the call is over
        try:
            yield from iter(updates.get, None)
        finally:
            self.pending.pop(context.peer(), None)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: run_example_server.py PORT")
    pool = futures.ThreadPoolExecutor(max_workers=10)
    server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
    rpc.add_TodoServiceServicer_to_server(TodoService(), server)
    port = server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
