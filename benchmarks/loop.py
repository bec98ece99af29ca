"""Measure how well the loop fills its workers; trainings, writing and fine-tuning only wait.

OMP_NUM_THREADS=1 .venv/bin/python benchmarks/loop.py [--mean 20] [--constant 3] [--cycles 3]

retraining  40 trainings of `constant` s on 8 workers; about a third reach the threshold and are
            trained again: in order, one at a time, as earlier versions did, against at once
lag         cycles of 800 candidates on 80 workers, trainings of lognormal times (sigma 1.2, at most
            6 times the mean), without and with `candidates.lag`; a fifth is invalid, 30% of the
            others are admitted, a fine-tuning takes three means. "Used" is the share of all
            workers' time from the first training to the last one's start.
speeds      the same run with a lag at two speeds: their tables must be equal
driver      trainings of 0 s: transactions and CPU time of a candidate; transactions a second with
            and without the idle connection of a lease

The loop, its database and its gates are the real ones.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from crash.instant_executor import InstantExecutor  # noqa: E402
from crash.instant_learner import InstantLearner  # noqa: E402
from quick_runs import SETTINGS, database, run_with, write_answers  # noqa: E402
from store_samples import candidate, start, write  # noqa: E402

from nngpt import config  # noqa: E402
from nngpt.cycle.parts import Parts, assemble  # noqa: E402
from nngpt.cycle.scheduler import QueuedAttempt, Scheduler  # noqa: E402
from nngpt.generation.llm.scripted import ScriptedLLM  # noqa: E402
from nngpt.records import Candidate, Evaluation, Refusal, Retraining, Stage  # noqa: E402
from nngpt.store import Store  # noqa: E402
from nngpt.store.database import Database  # noqa: E402

SIGMA, CAP = 1.2, 6.0
ACTIVATIONS = ("ReLU", "GELU", "SiLU", "ELU", "Mish", "Hardswish", "CELU", "SELU", "Softplus")


class Sleeper(InstantExecutor):
    """Pretends to train, for a time that follows from the code, and notes when it was busy.

    Attributes:
        workers: number of trainings at once.
        mean: mean time of a training in seconds.
        sigma: of the lognormal distribution; 0 for equal times.
        valid: share of networks that train.
        passing: share of these that reach the threshold.
        busy: start and end of each training, and whether it was a retraining.
    """

    def __init__(
        self, workers: int, mean: float, sigma: float, valid: float = 1.0, passing: float = 1.0
    ) -> None:
        super().__init__()
        self.workers, self.mean, self.sigma = workers, mean, sigma
        self.valid, self.passing = valid, passing
        self.busy: list[tuple[float, float, bool]] = []

    def evaluate(self, candidate: Candidate, seed: int) -> Evaluation | Refusal:
        """Wait, then return an outcome that follows from the code."""
        chance = random.Random(candidate.content_hash)
        if chance.random() >= self.valid:
            return Refusal(Stage.BUILD, "building the network failed: AttributeError")
        self._sleep(candidate, retraining=False)
        found = super().evaluate(candidate, seed)
        if chance.random() >= self.passing and isinstance(found, Evaluation):
            low = tuple(replace(e, accuracy=0.1, correct=20) for e in found.epochs)
            return replace(found, epochs=low)
        return found

    def retrain(self, candidate: Candidate, seed: int) -> Retraining:
        """Wait the same time, then return another accuracy."""
        self._sleep(candidate, retraining=True)
        return super().retrain(candidate, seed)

    def pause(self, number: int) -> float:
        """Return 0: the waiting is done."""
        return 0.0

    def _sleep(self, candidate: Candidate, retraining: bool) -> None:
        normal = random.Random(f"time {candidate.content_hash}").gauss(0, self.sigma)
        began = time.monotonic()
        time.sleep(self.mean * min(CAP, math.exp(normal - self.sigma**2 / 2)))
        self.busy.append((began, time.monotonic(), retraining))

    @property
    def used(self) -> float:
        """Share of the workers' time in use from the first training to the last one's start."""
        first = min(began for began, _, _ in self.busy)
        last = max(began for began, _, again in self.busy if not again)
        inside = sum(max(0.0, min(ended, last) - began) for began, ended, _ in self.busy)
        return inside / (self.workers * (last - first))

    @property
    def most_retrainings(self) -> int:
        """Largest number of retrainings at once."""
        events = [(t, step) for b, e, again in self.busy if again for t, step in ((b, 1), (e, -1))]
        return max(itertools.accumulate(step for _, step in sorted(events)), default=0)


class SlowLLM(ScriptedLLM):
    """A scripted LLM that needs `seconds` for a batch, and never writes a text twice."""

    seconds = 0.0

    def __init__(self, texts: Sequence[str], batch_size: int) -> None:
        super().__init__(texts, batch_size)
        self._written = 0

    def generate(self, *arguments: Any) -> Any:
        """Wait, then return the next texts."""
        time.sleep(self.seconds)
        count, prompt, seed = arguments[1], arguments[0], arguments[2]
        texts = self._texts[self._written : self._written + count]
        self._written += count
        return [self._completion(text, prompt, seed, i) for i, text in enumerate(texts)]


class SlowLearner(InstantLearner):
    """A learner that needs `seconds`."""

    seconds = 0.0

    def learn(self, *arguments: Any) -> Any:
        """Wait, then write an adapter's record."""
        time.sleep(self.seconds)
        return super().learn(*arguments)


def networks(count: int) -> list[str]:
    """Return different networks in `features` mode."""
    draw = random.Random(1)

    def layer() -> str:
        kinds = (
            f"nn.{draw.choice(ACTIVATIONS)}()",
            "nn.LazyBatchNorm2d()",
            "nn.MaxPool2d(2, ceil_mode=True)",
            f"nn.LazyConv2d({draw.randint(8, 64)}, 3, padding=1)",
            f"nn.Dropout({draw.random():.2f})",
        )
        return draw.choice(kinds)

    found: dict[str, None] = {}
    while len(found) < count:
        layers = [f"{draw.randint(8, 32)}, 3, padding=1)", *(layer() for _ in range(12))]
        found[",\n    ".join(layers) + ",\n)"] = None
    return list(found)


def settings(name: str, per_cycle: int, batch: int, cycles: int, *more: str) -> config.Config:
    """Return the settings of a run."""
    sizes = (f"candidates.per_cycle={per_cycle}", f"candidates.max_per_cycle={per_cycle}")
    return config.load(
        "smoke-mnist",
        [*SETTINGS, *sizes, f"name={name}", f"llm.batch_size={batch}", f"cycles={cycles}", *more],
    )


@contextmanager
def one_retraining_at_a_time() -> Iterator[None]:
    """Retrain as earlier versions did: only the oldest attempt, and nothing settles meanwhile."""
    real = Scheduler._wants_retraining

    def wants(self: Scheduler, queued: QueuedAttempt) -> bool:
        return queued is self.queue[0] and real(self, queued)

    with mock.patch.object(Scheduler, "_wants_retraining", wants):
        yield


def run(chosen: config.Config, executor: Sleeper, llm_s: float = 0.0, learn_s: float = 0.0) -> Any:
    """Run in a folder of its own; return the outcome, and the wall and CPU seconds."""
    count = chosen.candidates.per_cycle * chosen.cycles
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        os.chdir(folder)
        stack.callback(os.chdir, ROOT)
        database(Path(folder)).parent.mkdir()
        write_answers(Path(folder), ["8, 3)\n)"])
        opened = stack.enter_context(assemble(chosen, lambda _: None))
        llm, learner = SlowLLM(networks(count), chosen.llm.batch_size), SlowLearner()
        llm.seconds, learner.seconds = llm_s, learn_s
        writers = dict.fromkeys(opened.writers, llm)
        parts: Parts = replace(opened, executor=executor, writers=writers, learner=learner)
        wall, cpu = time.monotonic(), time.process_time()
        outcome = run_with(parts, chosen)
        return outcome, time.monotonic() - wall, time.process_time() - cpu


def measure_retraining(seconds: float) -> None:
    """Print the times of 40 trainings and retrainings on 8 workers."""
    chosen = settings("r", 40, 40, 1, "learning.enabled=false", "novelty.measure=none")
    print(f"\n40 trainings of {seconds:g} s on 8 workers, a third of them trained again\n")
    print("| retrainings | at once | seconds | least possible | ratio |\n|---|---|---|---|---|")
    outcomes = []
    for name, patch in (("one at a time", one_retraining_at_a_time()), ("at once", nullcontext())):
        executor = Sleeper(8, seconds, 0.0, passing=1 / 3)
        with patch:
            outcome, wall, _ = run(chosen, executor)
        outcomes.append(outcome)
        least = len(executor.busy) / 8 * seconds
        row = (
            f"{name} | {executor.most_retrainings} | {wall:.1f} | {least:.1f} | {wall / least:.2f}"
        )
        print(f"| {row} |", flush=True)
    print(f"\nsame outcome: {outcomes[0] == outcomes[1]}")


def measure_lag(mean: float, cycles: int, per_cycle: int, workers: int, design: str | None) -> None:
    """Print the share of the workers' time in use, without and with a lag."""
    print(
        f"\n{cycles} cycles of {per_cycle}, {workers} workers, lognormal times, mean {mean:g} s\n"
    )
    print("| design | seconds | used | of the whole run |\n|---|---|---|---|", flush=True)
    designs = (
        ("lag 0, one retraining at a time", 0, one_retraining_at_a_time()),
        ("lag 0", 0, nullcontext()),
        ("lag 1", 1, nullcontext()),
    )
    for name, lag, patch in designs:
        if design not in (None, name):
            continue
        # One retraining at a time takes an hour for all cycles: a part of one shows the share.
        few = name.endswith("time")
        size = (per_cycle // 10, 1) if few else (per_cycle, cycles)
        executor = Sleeper(workers, mean, SIGMA, 0.8, 0.3)
        chosen = settings("l", size[0], 64, size[1], f"candidates.lag={lag}")
        with patch:
            _, wall, _ = run(chosen, executor, mean / 10, 3 * mean)
        whole = sum(ended - began for began, ended, _ in executor.busy) / (workers * wall)
        print(f"| {name} | {wall:.0f} | {executor.used:.0%} | {whole:.0%} |", flush=True)


def measure_speeds() -> None:
    """Print whether a run with a lag has the same outcome at two speeds."""
    found = []
    for workers, mean in ((3, 0.002), (30, 0.2)):
        executor = Sleeper(workers, mean, SIGMA, 0.8, 0.3)
        chosen = settings("s", 60, 20, 3, "candidates.lag=1")
        found.append(run(chosen, executor, mean, mean)[0])
    print(f"\ntwo speeds, equal tables: {found[0] == found[1]} ({len(found[0]) - 1} attempts)")


def measure_driver() -> None:
    """Print transactions and CPU time of a candidate, and transactions a second."""
    writes, real = itertools.count(), Database.write

    def counted(self: Database) -> Any:
        next(writes)
        return real(self)

    for count in (20, 300):  # the first run imports what is imported once
        begun = next(writes)
        with mock.patch.object(Database, "write", counted):
            chosen = settings("d", count, 64, 1, "learning.enabled=false", "novelty.measure=none")
            _, wall, cpu = run(chosen, Sleeper(80, 0.0, 0.0, 0.8, 0.3))
        each = ((next(writes) - begun - 1) / count, 1000 * cpu / count, 1000 * wall / count)
    print("\na candidate: {:.1f} transactions, {:.0f} ms of CPU, {:.0f} ms".format(*each))
    rates = {held: transactions_per_second(held) for held in (False, True)}
    ratio = rates[True] / rates[False]
    print(f"transactions/s: {rates[False]:.0f}, with the idle connection {rates[True]:.0f}", end="")
    print(f" ({ratio:.1f} ×)")


def transactions_per_second(held: bool) -> float:
    """Return the rate of small transactions, with or without the idle connection of a lease."""
    patch = nullcontext() if held else mock.patch.object(Database, "hold", nullcontext)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(patch)
        store = stack.enter_context(Store.open(Path(folder) / "nngpt.db"))
        lease = stack.enter_context(store.lease(start(store).id))
        ids = write(lease, 100)
        began = time.monotonic()
        for number in ids:
            lease.parsed(number, candidate(f"x = {number}\n"))
            lease.validated(number)
        return 2 * len(ids) / (time.monotonic() - began)


def main() -> None:
    """Measure and print everything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--constant", type=float, default=3.0, help="seconds of equal trainings")
    parser.add_argument("--mean", type=float, default=20.0, help="mean seconds of the others")
    parser.add_argument("--cycles", type=int, default=3)
    parser.add_argument("--per-cycle", type=int, default=800)
    parser.add_argument("--workers", type=int, default=80)
    parser.add_argument("--design", help='only this row of the part "lag", such as "lag 1"')
    parser.add_argument("--only", choices=("driver", "retraining", "speeds", "lag"))
    chosen = parser.parse_args()
    parts = {
        "driver": measure_driver,
        "retraining": lambda: measure_retraining(chosen.constant),
        "speeds": measure_speeds,
        "lag": lambda: measure_lag(
            chosen.mean, chosen.cycles, chosen.per_cycle, chosen.workers, chosen.design
        ),
    }
    for name, measure in parts.items():
        if chosen.only in (None, name):
            measure()


if __name__ == "__main__":
    main()
