"""Control arms, ablations, early ends and time limits, in runs of the real loop in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import ALSO_GOOD, ANSWERS, CUT_OFF, GOOD, NEAR_TWIN, WEAK, Nngpt
from quick_runs import database, quick_run, write_answers

from nngpt import config
from nngpt.cli.output import console
from nngpt.errors import ConfigError
from nngpt.generation.llm.mutation import ACTIVATIONS
from nngpt.records import RANDOM_CHANGE, Arm, Stage, State
from nngpt.reports.tables.runs import print_status
from nngpt.store import AttemptRecord, Store

ANOTHER = "8, 7, stride=3),\n    nn.SiLU(),\n    nn.LazyConv2d(12, 1),\n    nn.AvgPool2d(2),\n)"
DIFFERENT = [
    f"{width}, 3),\n    nn.{activation}(),\n    nn.LazyConv2d({2 * width}, 3),\n"
    f"    nn.{pool}2d(2),\n)"
    for width, activation in zip(range(8, 22), ACTIVATIONS * 2, strict=False)
    for pool in ("MaxPool", "AvgPool")
]
LOOP_OF_SIX = ("llm.batch_size=3", "candidates.per_cycle=6")
WITH_CONTROLS = (
    "llm.batch_size=3",
    "candidates.per_cycle=12",
    "controls.base=0.25",
    "controls.corpus=0.25",
    "learning.corpus=corpus.jsonl",
)


def prepare(folder: Path) -> None:
    """Write the LLM's script and a corpus of two networks."""
    write_answers(folder, [*ANSWERS, ANOTHER])
    lines = [json.dumps({"completion": text}) + "\n" for text in (GOOD, ALSO_GOOD)]
    (folder / "corpus.jsonl").write_text("".join(lines))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path)
    return tmp_path


def finished(folder: Path, cycles: int, *settings: str) -> Path:
    """A folder with one finished run; tests only read it."""
    prepare(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        quick_run(folder, cycles, *settings)
    return folder


@pytest.fixture(scope="session")
def with_controls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cycles of the loop and both control arms."""
    return finished(tmp_path_factory.mktemp("with-controls"), 2, *WITH_CONTROLS)


@pytest.fixture(scope="session")
def loop_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three cycles of the loop without control arms."""
    return finished(tmp_path_factory.mktemp("loop-alone"), 3, *LOOP_OF_SIX)


def attempts(folder: Path, arm: Arm | None = None) -> list[AttemptRecord]:
    with Store.open(database(folder), create=False) as store:
        return store.attempts(store.runs()[-1].id, with_code=True, arm=arm)


def story(found: list[AttemptRecord]) -> list[tuple[object, ...]]:
    """The outcome of the loop, which must not depend on control arms."""
    return [
        (a.cycle, a.completion.text, a.completion.adapter, a.state, a.refusal and a.refusal.stage)
        for a in found
    ]


def test_controls_change_nothing_for_the_loop(here: Path, with_controls: Path) -> None:
    quick_run(here, 2, *LOOP_OF_SIX, "learning.corpus=corpus.jsonl")
    assert story(attempts(with_controls, Arm.LOOP)) == story(attempts(here))
    assert len(attempts(with_controls)) == 24
    with Store.open(database(with_controls)) as store:
        adapters = store.adapters(1)
        admitted = store.admitted(1)
    assert adapters and all(a.pairs <= 2 + len(admitted) for a in adapters.values())


def test_each_arm_has_its_writer(with_controls: Path) -> None:
    with Store.open(database(with_controls)) as store:
        assert store.arms(1) == [Arm.LOOP, Arm.BASE, Arm.CORPUS]
        sizes = [[s.generated for s in store.summary(1, arm)] for arm in Arm]
    assert sizes == [[6, 6], [3, 3], [3, 3]]
    loop = [a for a in attempts(with_controls, Arm.LOOP) if a.cycle == 2]
    assert all(a.completion.adapter for a in loop), "the loop writes with its newest adapter"
    assert all(a.completion.adapter is None for a in attempts(with_controls, Arm.BASE))
    assert all(a.completion.model == RANDOM_CHANGE for a in attempts(with_controls, Arm.CORPUS))
    assert all(a.settled for a in attempts(with_controls))


def test_an_arm_does_not_know_the_networks_of_other_arms(here: Path) -> None:
    """All arms write from the same script: a copy counts only within its own arm."""
    quick_run(here, 1, *WITH_CONTROLS, "controls.corpus=0", "controls.base=0.5")
    loop, base = attempts(here, Arm.LOOP), attempts(here, Arm.BASE)
    shared = {a.content_hash for a in loop} & {a.content_hash for a in base}
    admitted = {a.content_hash for a in loop if a.state is State.ADMITTED}
    also = {a.content_hash for a in base if a.state is State.ADMITTED}
    assert shared - {None} and admitted & also
    copies = [a.refusal.reason for a in base if a.refusal and a.refusal.stage is Stage.DUPLICATE]
    ids = {f"attempt {a.id}" for a in loop}
    assert not any(reason.removeprefix("same network as ") in ids for reason in copies)


def test_controls_survive_a_kill_between_batches(here: Path, with_controls: Path) -> None:
    whole = [(a.arm, a.completion.text) for a in attempts(with_controls) if a.cycle == 1]
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            quick_run(here, 1, *WITH_CONTROLS)
    assert not all(a.settled for a in attempts(here)) or len(attempts(here)) < 12
    quick_run(here, 1, *WITH_CONTROLS)
    assert [(a.arm, a.completion.text) for a in attempts(here)] == whole


def stop_after(patch: pytest.MonkeyPatch, settled: int) -> None:
    """Stop the run like Ctrl-C when `settled` attempts are settled."""
    from nngpt.reports.progress import ConsoleProgress

    real, seen = ConsoleProgress.settled, list[int]()

    def settle(self: ConsoleProgress, attempt: AttemptRecord) -> None:
        real(self, attempt)
        seen.append(attempt.id)
        if len(seen) == settled:
            raise KeyboardInterrupt

    patch.setattr(ConsoleProgress, "settled", settle)


def test_a_control_without_a_corpus_is_refused(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"controls\.corpus: there is no corpus to draw from"):
        quick_run(here, 1, "controls.corpus=0.5")
    with pytest.raises(ConfigError, match="leave nothing for the loop"):
        config.load("smoke-mnist", ["controls.base=0.5", "controls.corpus=0.5"])


@pytest.mark.parametrize(
    ("without", "admitted"),
    [("[]", 3), ("[novelty]", 4), ("[threshold]", 4), ("[novelty, threshold]", 5)],
)
def test_ablations_admit_networks_that_their_gate_would_refuse(
    here: Path, without: str, admitted: int
) -> None:
    write_answers(here, [GOOD, NEAR_TWIN, ALSO_GOOD, WEAK, ANOTHER])
    quick_run(here, 1, "candidates.per_cycle=5", "llm.batch_size=5", f"without={without}")
    found = attempts(here)
    assert sum(a.state is State.ADMITTED for a in found) == admitted
    with Store.open(database(here)) as store:
        (summary,) = store.summary(1)
    assert (summary.valid, summary.above) == (5, 4), "above still counts by the threshold"
    twins = [a for a in found if a.novelty is not None and a.novelty.jaccard > 0.9]
    assert len(twins) == 1, "similarity is still measured"


def test_without_the_novelty_filter_copies_are_trained_and_admitted(here: Path) -> None:
    write_answers(here, [GOOD])
    more = ("candidates.per_cycle=2", "llm.batch_size=2", "evaluation.workers=2")
    quick_run(here, 2, *more, "without=[novelty]")
    found = attempts(here)
    assert [a.state for a in found] == [State.ADMITTED] * 4
    assert len({a.content_hash for a in found}) == 1
    assert [a.novelty is not None and a.novelty.jaccard == 1 for a in found] == [False] + [True] * 3
    with Store.open(database(here)) as store:
        assert len(store.admitted(1)) == 4
        assert [adapter.pairs for adapter in store.adapters(1).values()] == [2, 4]


def test_without_similarity_copies_are_still_refused(here: Path) -> None:
    write_answers(here, [GOOD, NEAR_TWIN])
    quick_run(here, 2, "candidates.per_cycle=2", "llm.batch_size=2", "without=[similarity]")
    found = attempts(here)
    assert [a.state for a in found[:2]] == [State.ADMITTED] * 2
    assert [a.refusal and a.refusal.stage for a in found[2:]] == [Stage.DUPLICATE] * 2


def test_without_iteration_nothing_is_learned(here: Path) -> None:
    quick_run(here, 2, *LOOP_OF_SIX, "without=[iteration]")
    with Store.open(database(here)) as store:
        assert not store.adapters(1)
        assert [s.skipped for s in store.summary(1)] == ["the run is without iteration"] * 2


def test_a_run_ends_at_a_plateau(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_answers(here, DIFFERENT)
    small = ("llm.batch_size=4", "candidates.per_cycle=4")
    stop = ("stop.enabled=true", "stop.cycles=1", "stop.gain=1")
    quick_run(here, 5, *small, *stop)
    with Store.open(database(here)) as store:
        run = store.run(1)
        closed = [s.cycle for s in store.summary(1) if s.closed]
    assert (run.status, closed) == ("done", [1, 2])
    assert run.ended.startswith("over 1 cycle the mean accuracy rose by")
    assert "The run ends after cycle 2" in capsys.readouterr().err
    quick_run(here, 3, *small)
    with Store.open(database(here)) as store:
        assert store.run(1).ended == "", "a run without the criterion goes on"
        assert store.cycle_closed(1, 3)


@pytest.mark.parametrize("action", ["tell", "replay"])
def test_a_collapse_raises_an_alarm_and_may_start_replay(
    here: Path, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    settings = (
        *LOOP_OF_SIX,
        "learning.corpus=corpus.jsonl",
        f"learning.on_collapse={action}",
        "learning.held_out=2",
    )
    write_answers(here, DIFFERENT[:6])
    quick_run(here, 1, *settings)
    write_answers(here, [CUT_OFF])
    quick_run(here, 2, *settings)
    with Store.open(database(here)) as store:
        first, second = store.summary(1)
        adapters, admitted = store.adapters(1), len(store.admitted(1))
    assert first.alarm == "" and admitted > 1
    assert second.alarm.startswith("valid answers fell to 0/6 = 0% [0–39]")
    printed = capsys.readouterr().err
    assert "Alarm: valid answers fell" in printed
    if action == "tell":
        assert list(adapters) == [1] and second.skipped == "nothing new to learn was admitted"
    else:
        learned = admitted - admitted // 2
        assert adapters[2].pairs == 2 + learned + min(2, learned)
        assert "replaying networks that were there before the run" in printed


def test_held_out_networks_are_never_learned(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_answers(here, DIFFERENT[:12])
    quick_run(here, 2, *LOOP_OF_SIX, "learning.held_out=2", "task.threshold=0")
    with Store.open(database(here)) as store:
        cycles, adapters = store.summary(1), store.adapters(1)
        known = [len(store.admitted(1, upto_cycle=cycle)) for cycle in adapters]
        print_status(store, store.run(1), console())
    assert [a.held_out for a in adapters.values()] == [count // 2 for count in known]
    assert [a.pairs + a.held_out for a in adapters.values()] == known
    assert [s.held_out_last for s in cycles] == [1.5, 1.5]
    printed = capsys.readouterr()
    assert "log-likelihood per token of 3 held-out networks: −2.000 → −1.500" in printed.err
    assert "−2.000 → −1.500" in printed.out and "Held-out log-likelihood" in printed.out


def test_a_run_that_admits_nothing_says_that_nothing_was_learned(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_answers(here, [CUT_OFF])
    quick_run(here, 1, *LOOP_OF_SIX)
    printed = capsys.readouterr().err
    assert "Nothing was learned after cycle 1: no network was admitted." in printed


def test_replay_needs_something_to_replay(here: Path) -> None:
    with pytest.raises(ConfigError, match="there is no corpus to be replayed"):
        quick_run(here, 1, "learning.on_collapse=replay")


def test_a_time_limit_ends_a_run_and_the_same_command_resumes(
    here: Path, loop_alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick_run(here, 3, *LOOP_OF_SIX, minutes=0.000001)
    assert (
        "The time limit of 1e-06 minutes is reached. Everything recorded is kept"
        in capsys.readouterr().err
    )
    with Store.open(database(here)) as store:
        assert store.run(1).status == "active"
        assert not store.cycle_closed(1, 1)
    assert not any(a.state is State.TRAINING for a in attempts(here))
    quick_run(here, 3, *LOOP_OF_SIX)
    assert story(attempts(here)) == story(attempts(loop_alone))


def test_time_and_forecasts_are_recorded(loop_alone: Path) -> None:
    with Store.open(database(loop_alone)) as store:
        activities, forecasts = store.activities(1), store.forecasts(1)
    assert {a.cycle for a in activities} == {1, 2, 3}
    assert {"learning", "training"} <= {a.activity for a in activities}
    assert all(a.seconds >= 0 for a in activities)
    (forecast,) = forecasts
    assert forecast.basis["source"] == "1 cycle of run 1"
    assert 0 <= forecast.low <= forecast.seconds <= forecast.high
    assert 0 < forecast.spent <= sum(a.seconds for a in activities)


def test_status_shows_controls(with_controls: Path, nngpt: Nngpt) -> None:
    folder = with_controls / "runs"
    printed = nngpt("cycle", "status", "--folder", folder)
    assert printed.returncode == 0, printed.stderr
    assert "The loop and its controls" in printed.stdout
    assert "Loop minus frozen LLM so far, at any time: " in printed.stdout
    assert "Cost of an accuracy" in printed.stdout
    told = json.loads(nngpt("cycle", "status", "--json", "--folder", folder).stdout)
    with Store.open(database(with_controls)) as store:
        summaries = {arm: store.summary(1, arm) for arm in (Arm.LOOP, Arm.BASE)}
        chance = 1 / len(store.run(1).class_names)
    means = []
    for cycles in summaries.values():
        reached = sum(sum(s.accuracies) + chance * (s.generated - s.valid) for s in cycles)
        means.append(reached / sum(s.generated for s in cycles))
    lead = told["leads"][0]["difference"]
    assert lead["value"] == pytest.approx(means[0] - means[1])
    assert lead["low"] <= lead["value"] <= lead["high"]
    assert [one["admitted"] for one in told["costs"]] == [s.admitted for s in summaries[Arm.LOOP]]
    assert {one["arm"] for one in told["reached"]} == {"loop", "base", "corpus"}
    assert set(told["controls"]) == {"base", "corpus"}
    assert told["controls"]["base"][0]["generated"] == 3
    assert told["cycles"][0]["arm"] == "loop"
