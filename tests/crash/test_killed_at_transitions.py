"""Killed just before or after any transaction, a run resumes as if nothing had happened."""

from __future__ import annotations

import shutil
from collections import Counter
from itertools import count
from pathlib import Path

import pytest
from crash.instant_runs import BATCHES, ONE_CYCLE, ONE_OF_EACH, OVERLAPPING, REPAIRS, Kind
from crash.invariants import query, reading
from crash.killing import KilledRun, Reference
from crash.runner import Runners

SIDES = pytest.mark.parametrize("side", [0, 1], ids=["before the commit", "after the commit"])


def test_one_of_each_passes_every_gate(reference: Reference) -> None:
    """Precondition of the tests below: every gate and outcome occurs."""
    attempts, cycles = reference(ONE_OF_EACH).outcome
    stages = Counter((cycle, state, stage) for cycle, _, _, _, _, state, stage, *_ in attempts)
    assert stages == {
        (1, "admitted", None): 1,
        **{(1, "refused", stage): 1 for stage in ("novelty", "threshold", "build", "parse")},
        (2, "refused", "duplicate"): 4,
        (2, "refused", "parse"): 1,
    }
    assert {(cycle, adapter) for cycle, _, _, _, adapter, *_ in attempts} == {
        (1, None),
        (2, "killed-1-c1"),
    }
    assert [(adapter, reason) for _, adapter, reason, *_ in cycles] == [
        ("killed-1-c1", ""),
        (None, "nothing new to learn was admitted"),
    ]


def test_batches_are_written_until_enough_are_admitted(reference: Reference) -> None:
    attempts, cycles = reference(BATCHES).outcome
    assert [reason for _, _, reason, *_ in cycles] == ["learning is switched off"] * 2
    assert Counter((cycle, batch) for cycle, batch, *_ in attempts) == {
        (cycle, batch): 3 for cycle in (1, 2) for batch in (0, 1, 2)
    }
    assert sum(state == "admitted" for _, _, _, _, _, state, *_ in attempts) >= 2


@pytest.mark.parametrize(
    ("side", "step"),
    # Before the commit nearly repeats after the one before it: only `make test-crash` does both.
    [
        pytest.param(0, 2, marks=pytest.mark.crash, id="before"),
        pytest.param(1, 2, marks=pytest.mark.crash, id="after"),
        pytest.param(1, 4, id="after every other"),
    ],
)
def test_killed_at_every_transaction(
    side: int, step: int, runners: Runners, reference: Reference, tmp_path: Path
) -> None:
    trainings_hit, lengths = 0, set()
    for moment in count(side, step):
        run = KilledRun(runners, ONE_CYCLE, tmp_path / str(moment))
        alive_then = run.was_killed(run.start(at=moment))
        lengths.add(len(run.standings[0].history))
        if not alive_then:
            break
        trainings_hit += len(run.standings[0].in_training)
        run.resume(reference(ONE_CYCLE))
        shutil.rmtree(run.folder)
    # The history is empty, then holds the batch; three networks begin, are trained and are settled,
    # one begins and is refused, one is refused: 14 lengths, but trainings end in another order.
    assert len(lengths) >= 24 // step
    assert trainings_hit > 0


@SIDES
@pytest.mark.parametrize(
    ("kind", "step"),
    [(ONE_OF_EACH, "add_adapter"), (ONE_OF_EACH, "skip_learning"), (BATCHES, "skip_learning")],
    ids=["adapter", "nothing new", "switched off"],
)
def test_killed_while_a_cycle_closes(
    side: int, kind: Kind, step: str, runners: Runners, reference: Reference, tmp_path: Path
) -> None:
    run = KilledRun(runners, kind, tmp_path)
    assert run.was_killed(run.start(at=side, of=step))
    with reading(tmp_path) as db:
        closed = query(db, "SELECT count(*) FROM nngpt_cycle")
    before = 1 if (kind, step) == (ONE_OF_EACH, "skip_learning") else 0
    assert closed == [(before + side,)]
    run.resume(reference(kind))


def test_repairs_come_last_and_are_counted_apart(reference: Reference) -> None:
    attempts, _ = reference(REPAIRS).outcome
    first = [attempt for attempt in attempts if not attempt[-2]]
    rounds = [attempt[-2] for attempt in attempts]
    assert rounds == sorted(rounds) and {1, 2} <= set(rounds)
    assert [attempt[2] for attempt in attempts] == list(range(len(attempts)))
    assert first == [(*a[:-2], 0, a[-1]) for a in attempts[: ONE_CYCLE.batch]]


@SIDES
def test_killed_while_a_repair_is_recorded(
    side: int, runners: Runners, reference: Reference, tmp_path: Path
) -> None:
    """Kill at each repair in turn, until the run ends before the next."""
    count_of_repairs = sum(attempt[-2] > 0 for attempt in reference(REPAIRS).outcome[0])
    for number in count():
        run = KilledRun(runners, REPAIRS, tmp_path / str(number))
        if not run.was_killed(run.start(at=2 * number + side, of="add_repair")):
            break
        with reading(run.folder) as db:
            recorded = query(db, "SELECT count(*) FROM nngpt_attempt WHERE repairs > 0")
        assert recorded == [(number + side,)]
        run.resume(reference(REPAIRS))
    assert number == count_of_repairs >= 3


def test_killed_while_cycles_overlap(
    runners: Runners, reference: Reference, tmp_path: Path
) -> None:
    attempts, cycles = reference(OVERLAPPING).outcome
    written_with = {(cycle, adapter) for cycle, _, _, _, adapter, *_ in attempts}
    assert written_with == {(1, None), (2, None), (3, "killed-1-c1")}
    assert [adapter for _, adapter, *_ in cycles][:2] == ["killed-1-c1", "killed-1-c2"]
    overlapped = 0
    for moment in count(15, step=20):
        run = KilledRun(runners, OVERLAPPING, tmp_path / str(moment))
        if not run.was_killed(run.start(at=moment)):
            break
        with reading(run.folder) as db:
            (closed,) = query(db, "SELECT count(*) FROM nngpt_cycle")[0]
            (last,) = query(db, "SELECT max(cycle) FROM nngpt_attempt")[0]
        overlapped += last == closed + 2
        run.resume(reference(OVERLAPPING))
        shutil.rmtree(run.folder)
    assert overlapped > 0
