"""The papers' figures beside ours: validity with copies, rejections, settings passed over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from report_samples import network, study
from store_samples import PROMPT, TASK, completion, evaluation, open_new, start

from nngpt.records import Candidate, Novelty, Refusal, Stage
from nngpt.reports.analysis.trajectory import valid_over_cycles
from nngpt.reports.run.sheets import story, tables
from nngpt.reports.run.verdict import verdict
from nngpt.store import Lease

SETTINGS = '```python\nx\n```\n```json\n{"transform": "echo"}\n```'
WRITTEN: dict[int, list[tuple[int, Stage | None]]] = {
    1: [(1, None), (1, Stage.DUPLICATE), (2, Stage.BUILD), (3, Stage.NOVELTY), (4, None)],
    2: [(2, Stage.DUPLICATE), (5, Stage.NOVELTY), (1, Stage.DUPLICATE), (6, None)],
}
"""By cycle, the number of a network and the stage that refuses it, None if it is admitted."""


def settle(lease: Lease, attempt: int, found: Candidate, stage: Stage | None) -> None:
    lease.parsed(attempt, found)
    if stage is Stage.DUPLICATE:
        lease.refuse(attempt, Refusal(stage, "a copy"))
        return
    lease.validated(attempt)
    lease.training(attempt)
    if stage is Stage.BUILD:
        lease.refuse(attempt, Refusal(stage, "does not build"))
        return
    lease.trained(attempt, replace(evaluation(0.6), trials=()), TASK)
    lease.judged(attempt)
    if stage is Stage.NOVELTY:
        lease.refuse(attempt, Refusal(stage, "near"))
    else:
        lease.admit(attempt, Novelty(0.2, None, False))


@pytest.mark.parametrize("fixed", [False, True])
def test_copies_of_what_trains_are_valid_and_rejections_are_counted(
    tmp_path: Path, fixed: bool
) -> None:
    with open_new(tmp_path / "nngpt.db") as store:
        run = start(store, task={"dataset": "cifar10"}, evaluation={"fixed": fixed})
        with store.lease(run.id) as lease:
            for cycle, written in WRITTEN.items():
                texts = [replace(completion(n), text=SETTINGS) for n in range(len(written))]
                ids = lease.add_completions(cycle, 0, PROMPT, texts)
                for attempt, (number, stage) in zip(ids, written, strict=True):
                    settle(lease, attempt, network(number), stage)
                lease.skip_learning(cycle, "off")
        found = study(store, store.run(run.id))
    first, second = found.loop
    assert [p.valid.hits for p in (first, second) if p.valid] == [3, 2]
    assert [p.valid_or_copy.hits for p in (first, second) if p.valid_or_copy] == [4, 3]
    assert [p.settings_ignored for p in (first, second)] == ([5, 4] if fixed else [0, 0])
    valid, with_copies = valid_over_cycles(found.loop)
    assert valid is not None and valid.value == pytest.approx((3 / 5 + 2 / 4) / 2)
    assert with_copies is not None and with_copies.value == pytest.approx((4 / 5 + 3 / 4) / 2)
    columns = story(found)[0].columns
    assert (">or a copy" in columns, ">settings passed over" in columns) == (True, fixed)
    rows = [r["rejected_before"] for r in tables(found)["networks"] if r["admitted"]]
    assert rows == [0, 2, 3]
    assert any(one.startswith("Mean over cycles of the valid share: 55%") for one in verdict(found))
