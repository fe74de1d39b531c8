"""Checks a running todod with a client that knows the reference example's interface alone.

driver.py [--fresh] ADDR. Prints a line for each check; exits 0 if all hold, else
1. With --fresh the list must be new: the first task gets id 1. Nobody else may
change the list meanwhile.
"""

import argparse
import queue
import sys
import threading
import time

import grpc
from example_stubs import connect, pb

CALL_TIMEOUT_S = 10
WATCH_TIMEOUT_S = 20
WARM_UP_STEP_S = 0.5


class Broken(Exception):
    """What makes it pointless to go on."""


class Watcher:
    """A WatchTasks call without extended fields, on a connection of its own."""

    def __init__(self, address):
        self.channel, stub = connect(address)
        self.call = stub.WatchTasks(pb.WatchTasksRequest())
        self.updates = queue.Queue()
        self.ended = None  # the status, once the stream has ended
        self.taken = []  # what `until` has yet to return
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            for update in self.call:
                self.updates.put(update)
        except grpc.RpcError:
            pass
        self.ended = f"{self.call.code()} {self.call.details()!r}"
        self.updates.put(None)

    def take(self, timeout_s):
        """Takes the next update; returns whether there was one in time."""
        try:
            update = self.updates.get(timeout=max(timeout_s, 0))
        except queue.Empty:
            return False
        if update is None:
            raise Broken(f"a watch ended by itself: {self.ended}")
        self.taken.append(update)
        return True

    def until(self, task_id):
        """Returns all updates up to the ADDED of this task."""
        deadline = time.monotonic() + WATCH_TIMEOUT_S
        while not any(u.task.id == task_id and u.action == "ADDED" for u in self.taken):
            if not self.take(deadline - time.monotonic()):
                raise Broken(f"no ADDED of task {task_id} in {WATCH_TIMEOUT_S} s")
        updates, self.taken = self.taken, []
        return updates

    def cancel(self):
        """Ends the watch; returns the updates that nobody took."""
        self.call.cancel()
        self.thread.join(CALL_TIMEOUT_S)
        self.channel.close()
        if self.thread.is_alive():
            raise Broken("a cancelled watch did not end")
        return list(iter(self.updates.get_nowait, None))


def seen(updates):
    return [(u.action, u.task.id, u.task.title, u.task.completed) for u in updates]


def brief(expected, got):
    """Returns both as text; of lists only from the first difference on."""
    if isinstance(expected, list) and isinstance(got, list):
        same = [a == b for a, b in zip(expected, got)]
        start = (same + [False]).index(False)
        expected, got = expected[start:], got[start:]
    return [text if len(text) < 300 else f"{text[:300]}..." for text in map(repr, (expected, got))]


class Driver:
    def __init__(self, address, fresh):
        self.address = address
        self.fresh = fresh
        self.failures = 0
        self.last_id = 0
        self.changes = []  # what each watcher must see next
        self.watchers = []
        self.channel, self.stub = connect(address)

    def check(self, what, got, expected):
        if got == expected:
            print(f"ok: {what}", flush=True)
        else:
            self.failures += 1
            expected, got = brief(expected, got)
            print(f"FAILED: {what}: expected {expected}, got {got}", flush=True)

    def add(self, title):
        task = self.stub.AddTask(pb.AddTaskRequest(title=title), timeout=CALL_TIMEOUT_S).task
        self.changes.append(("ADDED", task.id, task.title, False))
        return task

    def complete(self, task_id):
        request = pb.CompleteTaskRequest(task_id=task_id)
        return self.stub.CompleteTask(request, timeout=CALL_TIMEOUT_S).success

    def list(self):
        tasks = self.stub.GetTasks(pb.GetTasksRequest(), timeout=CALL_TIMEOUT_S).tasks
        return [(t.id, t.title, t.completed) for t in tasks]

    def check_refused(self, what, call, code, details=None):
        try:
            got = f"OK: {call()!r}"
        except grpc.RpcError as error:
            got = (error.code().name, error.details() if details else None)
        self.check(what, got, (code, details))

    def check_watchers(self, what):
        """Both watchers see self.changes, once and in order, and nothing else."""
        marker = self.add("marker")
        both = [watcher.until(marker.id) for watcher in self.watchers]
        for number, updates in enumerate(both, 1):
            self.check(f"watcher {number} sees {what}", seen(updates), self.changes)
        same = [[u.SerializeToString(deterministic=True) for u in updates] for updates in both]
        self.check(f"both watchers get the same bytes for {what}", same[0], same[1])
        self.changes = []

    def warm_up(self):
        """A plain watch gives no sign of its registration, so tasks are added until
        each watcher has seen one; from there on it must not miss any."""
        self.watchers = [Watcher(self.address), Watcher(self.address)]
        self.changes = []
        deadline = time.monotonic() + WATCH_TIMEOUT_S
        while not all(watcher.taken for watcher in self.watchers):
            if time.monotonic() > deadline:
                raise Broken(f"a watcher has seen no change in {WATCH_TIMEOUT_S} s")
            self.add("warm up")
            for watcher in self.watchers:
                if not watcher.taken:
                    watcher.take(WARM_UP_STEP_S)
        last = self.add("warmed up").id
        for number, watcher in enumerate(self.watchers, 1):
            got = seen(watcher.until(last))
            expected = self.changes[-len(got):]
            self.check(f"watcher {number} sees every task added since its first", got, expected)
        self.changes = []

    def check_add_and_list(self):
        before = self.list()
        if self.fresh:
            self.check("a fresh list is empty", before, [])
        titles = ["Buy milk", "Don't \"forget\" \\ it", "Grüße ✓ 買い物", "é" * 1024]
        tasks = [self.add(title) for title in titles]
        first = tasks[0].id
        if self.fresh:
            self.check("the first task has id 1", first, 1)
        self.check("a new id is above all others", first > max([0, *(t[0] for t in before)]), True)
        added = [(t.id, t.title, t.completed) for t in tasks]
        expected = [(first + n, title, False) for n, title in enumerate(titles)]
        self.check("AddTask gives growing ids, the title, and completed = False", added, expected)
        self.check("GetTasks shows all tasks in order", self.list(), before + expected)
        return expected

    def check_complete(self, tasks):
        done = tasks[1][0]
        self.check("CompleteTask succeeds", self.complete(done), True)
        self.changes.append(("COMPLETED", *tasks[1][:2], True))
        shown = [task for task in self.list() if task[0] == done]
        self.check("GetTasks shows the task completed", shown, [(*tasks[1][:2], True)])
        self.check_watchers("ADDED and COMPLETED once each, in order")
        self.check("completing a completed task succeeds", self.complete(done), True)
        self.check_watchers("no second COMPLETED")

    def check_refusals(self):
        before = self.list()
        for task_id in (999_999, 0, -1):
            what = f"CompleteTask of the unknown id {task_id} is NOT_FOUND"
            self.check_refused(what, lambda: self.complete(task_id), "NOT_FOUND", "Task not found")
        bad = {"is empty": "", "is blank": "   ", "is too long": "x" * 1025, "has a bell": "a\x07b"}
        for what, title in bad.items():
            request = pb.AddTaskRequest(title=title)
            call = lambda: self.stub.AddTask(request, timeout=CALL_TIMEOUT_S)
            self.check_refused(f"a title that {what} is INVALID_ARGUMENT", call, "INVALID_ARGUMENT")
        self.check("what was refused changes nothing", self.list(), before)
        self.check_watchers("nothing of what was refused")
        trimmed = self.add(" \t trim me ").title
        self.check("outer white space of a title is trimmed", trimmed, "trim me")
        self.check_watchers("the trimmed title")

    def run(self):
        ready = grpc.channel_ready_future(self.channel)
        try:
            ready.result(timeout=CALL_TIMEOUT_S)
        except grpc.FutureTimeoutError:
            raise Broken(f"nothing answers on {self.address}") from None
        # The listing comes first, for --fresh; then again with watchers.
        self.check_add_and_list()
        self.fresh = False
        self.warm_up()
        self.check_complete(self.check_add_and_list())
        self.check_refusals()
        untaken = [len(watcher.cancel()) for watcher in self.watchers]
        self.check("nothing comes after the last change", untaken, [0, 0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="the list must be new")
    parser.add_argument("address")
    arguments = parser.parse_args()
    sys.stdout.reconfigure(encoding="utf-8")
    driver = Driver(arguments.address, arguments.fresh)
    try:
        driver.run()
    except Broken as broken:
        sys.exit(f"driver: {broken}")
    except grpc.RpcError as error:
        sys.exit(f"driver: a call failed: {error.code()} {error.details()!r}")
    if driver.failures:
        sys.exit(f"driver: {driver.failures} checks failed")


if __name__ == "__main__":
    main()
