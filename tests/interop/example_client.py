"""A client that behaves as the teaching example's: example_client.py ADDR

The same menu on stdin, the same lines on stdout. As with the example, a call
that fails ends it with a traceback.
"""

import sys
import threading

import grpc
from example_stubs import connect, pb

MENU = "\n1. Add Task\n2. List Tasks\n3. Complete Task\n4. Exit"


def print_updates(stub):
    try:
        for update in stub.WatchTasks(pb.WatchTasksRequest()):
            print(f"\n[Update] Task {update.task.id}: {update.action}")
            print(f"  Title: {update.task.title}")
            print(f"  Completed: {update.task.completed}")
    except grpc.RpcError as error:
        print(f"Watch error: {error.code()}")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: example_client.py ADDR")
    sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)
    _channel, stub = connect(sys.argv[1])
    threading.Thread(target=print_updates, args=(stub,), daemon=True).start()
    while True:
        print(MENU)
        choice = input("Select option: ")
        if choice == "1":
            title = input("Enter task title: ")
            print(f"Added task ID: {stub.AddTask(pb.AddTaskRequest(title=title)).task.id}")
        elif choice == "2":
            print("\nTasks:")
            for task in stub.GetTasks(pb.GetTasksRequest()).tasks:
                print(f"{'✓' if task.completed else ' '} {task.id}: {task.title}")
        elif choice == "3":
            task_id = int(input("Enter task ID to complete: "))
            answer = stub.CompleteTask(pb.CompleteTaskRequest(task_id=task_id))
            print("Success!" if answer.success else "Task not found")
        elif choice == "4":
            return


if __name__ == "__main__":
    main()
