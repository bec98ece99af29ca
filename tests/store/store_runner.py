"""Runners in processes of their own, for `test_store_processes.py`.

Usage: store_runner.py loop DATABASE ROUNDS    | work, killed at random ROUNDS times, then in peace
       store_runner.py claim DATABASE FENCE    | try to start every attempt's training
       store_runner.py hold DATABASE           | lease the run, fork a child, wait to be killed
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from store_samples import (
    NOVEL,
    PROMPT,
    REFUSAL,
    TASK,
    adapter,
    candidate,
    completion,
    evaluation,
    start,
)

from nngpt.records import Refusal, Stage, State
from nngpt.store import AttemptRecord, IllegalWriteError, Lease, Store

CYCLES, BATCHES, BATCH_SIZE = 2, 2, 5


def work(path: Path) -> None:
    """Run cycles like a small cycle runner, resuming where the last process was killed."""
    with Store.open(path) as store:
        run = store.current_run("demo") or start(store)
        with store.lease(run.id) as lease:
            for cycle in range(1, CYCLES + 1):
                if not store.cycle_closed(run.id, cycle):
                    _run_cycle(store, lease, cycle)


def _run_cycle(store: Store, lease: Lease, cycle: int) -> None:
    for batch in range(store.batches(lease.run_id, cycle), BATCHES):
        first = ((cycle - 1) * BATCHES + batch) * BATCH_SIZE
        texts = [f"number {first + i}" for i in range(BATCH_SIZE)]
        lease.add_completions(cycle, batch, PROMPT, [completion(i, t) for i, t in enumerate(texts)])
    for attempt in store.open_attempts(lease.run_id, cycle):
        _finish(store, lease, attempt)
    if cycle % 2:
        lease.add_adapter(cycle, adapter(f"demo-c{cycle}"))
    else:
        lease.skip_learning(cycle, "even")


def _finish(store: Store, lease: Lease, attempt: AttemptRecord) -> None:
    number = int(attempt.completion.text.split()[1])
    while attempt.refusal is None and attempt.state is not State.ADMITTED:
        _step(store, lease, attempt, number)
        attempt = store.attempt(attempt.id)


def _step(store: Store, lease: Lease, attempt: AttemptRecord, number: int) -> None:
    if attempt.state is State.GENERATED and number % 4 == 3:
        lease.refuse(attempt.id, REFUSAL)
    elif attempt.state is State.GENERATED:
        lease.parsed(attempt.id, candidate(f"net = {number % 13}\n"))
    elif attempt.state is State.PARSED:
        assert attempt.content_hash is not None
        known = store.known_hash(lease.run_id, attempt.content_hash)
        if known is None:
            lease.validated(attempt.id)
        else:
            lease.refuse(attempt.id, Refusal(Stage.DUPLICATE, f"same as {known}"))
    elif attempt.state is State.VALIDATED:
        lease.training(attempt.id)
    elif attempt.state is State.TRAINING:
        lease.trained(attempt.id, evaluation(0.1, number / 20), TASK)
    elif attempt.state is State.TRAINED:
        lease.judged(attempt.id, NOVEL)
    elif number % 5 == 1:
        lease.refuse(attempt.id, Refusal(Stage.THRESHOLD, "low"))
    else:
        lease.admit(attempt.id)


def loop(path: Path, rounds: int) -> None:
    delays = random.Random(0)
    killed = 0
    for _ in range(rounds):
        runner = multiprocessing.get_context("fork").Process(target=work, args=(path,))
        runner.start()
        time.sleep(delays.uniform(0.0, 0.15))
        runner.kill()
        runner.join()
        assert runner.exitcode in (0, -signal.SIGKILL)
        killed += runner.exitcode != 0
    work(path)
    print(killed)


def claim(path: Path, fence: int) -> None:
    """Write without the lock and with an old fence, so that only transactions protect the data."""
    with Store.open(path) as store:
        lease = Lease(store.database, 1, fence, ExitStack())
        ids = [record.id for record in store.attempts(1)]
        random.shuffle(ids)
        print("ready", flush=True)
        sys.stdin.readline()
        won = []
        for attempt_id in ids:
            try:
                lease.training(attempt_id)
                won.append(attempt_id)
            except IllegalWriteError:
                pass
        print(json.dumps(won))


def hold(path: Path) -> None:
    with Store.open(path) as store, store.lease(1):
        if os.fork() == 0:
            print(os.getpid(), flush=True)
        signal.pause()


if __name__ == "__main__":
    command, database, *rest = sys.argv[1:]
    {"loop": loop, "claim": claim, "hold": hold}[command](Path(database), *map(int, rest))
