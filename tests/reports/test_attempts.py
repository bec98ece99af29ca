"""What a model wrote is shown as it is, in reports, tables and progress."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console, RenderableType

from nngpt.config import CandidatesConfig, Config
from nngpt.records import (
    Adapter,
    Candidate,
    Completion,
    EpochResult,
    Evaluation,
    Novelty,
    Refusal,
    Retraining,
    Stage,
    State,
    Trial,
)
from nngpt.reports.attempts import attempt_line, attempt_report
from nngpt.reports.progress import ConsoleProgress
from nngpt.reports.tables.runs import story, summary_json
from nngpt.store import AttemptRecord, CycleSummary, RunRecord

TRANSFORM = "v2.Compose([v2.Resize((32, 32))])"
CANDIDATE = Candidate("class Net: pass\n", "", "full", {"[i]lr": 0.01}, TRANSFORM, 64)
EVALUATION = Evaluation((EpochResult(1, 0.5, 100, 200, 1.5),), 1234, 4.0, "cpu", 3, "standard")
ATTEMPT = AttemptRecord(
    id=7,
    run_id=1,
    cycle=1,
    batch=0,
    place=0,
    state=State.ADMITTED,
    mode="full",
    prompt_hash="p",
    completion=Completion("x", "model[/x]", "tuned[red]", 1, 0, 20, 5, 0.5),
    content_hash="h",
    candidate=CANDIDATE,
    evaluation=EVALUATION,
    novelty=Novelty(0.25, "a[/b]", False),
    refusal=None,
    retraining=None,
    restarts=0,
    retrainings=0,
    created="",
    updated="",
)
COPY = replace(
    ATTEMPT, state=State.REFUSED, evaluation=None, refusal=Refusal(Stage.DUPLICATE, "copy of [b]")
)
RUN = RunRecord(1, "demo", {}, "i", 1, "done", 1, "", "")


def summary(**changed: Any) -> CycleSummary:
    values: dict[str, Any] = {
        "cycle": 1,
        "mode": "features",
        "generated": 50,
        "parsed": 45,
        "valid": 20,
        "admitted": 10,
        "open": 0,
        "refused": {Stage.PARSE: 5, Stage.DUPLICATE: 12, Stage.THRESHOLD: 3},
        "accuracies": (0.5, 0.9),
        "seconds": {"generation": 1.0},
        "adapter": "a-rather-long-name-of-a-run-3-c21",
        "closed": True,
        "learned": None,
        "skipped": "",
    }
    return CycleSummary(**{**values, **changed})


def shown(what: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_attempt_report_parses_no_markup() -> None:
    text = shown(attempt_report(ATTEMPT))
    for part in (TRANSFORM, "a[/b], Jaccard 0.250", "model[/x], adapter tuned[red]", "[i]lr 0.01"):
        assert part in text


def test_long_values_are_folded_not_cut() -> None:
    transform = f"v2.Compose([{'v2.Normalize((0.5,),(0.5,)),' * 20}])"
    candidate = replace(CANDIDATE, transform=transform)
    text = shown(attempt_report(replace(ATTEMPT, candidate=candidate)))
    assert transform in "".join(text.split())


def test_refusal_is_shown_as_it_is() -> None:
    refusal = Refusal(Stage.BUILD, "bad [/shape]", "File [/x], line 1")
    text = shown(attempt_report(replace(COPY, refusal=refusal)))
    assert "build: bad [/shape]" in text and "File [/x], line 1" in text


def test_story_counts_copies_apart_and_is_not_too_wide() -> None:
    text = shown(story(RUN, [summary()]))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 140
    row = next(line for line in lines if "a-rather-long" in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[-3:] == ["10", "12", "parse 5, threshold 3"]
    assert "exact copies are not trained again" in " ".join(text.split())
    assert summary_json(summary())["copies"] == 12


def test_repairs_have_a_column_of_their_own_if_there_are_any() -> None:
    assert "repairs" not in shown(story(RUN, [summary()]))
    repaired = summary(repairs=9, repairs_valid=4, repairs_admitted=2)
    lines = shown(story(RUN, [summary(), repaired])).splitlines()
    assert max(map(len, lines)) <= 140
    assert "4 of 9" in shown(story(RUN, [repaired]))
    assert "20/50" in shown(story(RUN, [repaired])), "validity stays raw"
    told = summary_json(repaired)
    assert told["repairs"] == {"written": 9, "valid": 4, "admitted": 2}
    assert (told["generated"], told["valid"], told["admitted"]) == (50, 20, 10)


def test_a_constraint_stands_beside_every_validity_figure(progress: ConsoleProgress) -> None:
    written = summary(mode="full", constrained=True)
    row = next(line for line in shown(story(RUN, [written])).splitlines() if "20/50" in line)
    assert "constrained full" in row or "constrained" in row
    assert summary_json(written)["constrained"] is True
    assert summary_json(summary())["constrained"] is False
    progress.cycle_done(written, {"writing": 2.4, "training+writing": 61.0})
    assert "valid 20/50 = 40% [28–54] (constrained full mode)" in printed(progress)
    assert "  wall time: training+writing 61 s, writing 2 s\n" in printed(progress)


def test_a_change_is_shown_beside_the_network() -> None:
    written = replace(CANDIDATE, mode="delta", written=" -1 +1 @@\n-a\n+b\n```")
    text = shown(attempt_report(replace(ATTEMPT, mode="delta", candidate=written)))
    assert "What the LLM changed" in text and "+b" in text and "class Net: pass" in text


def test_a_repair_says_what_it_repairs() -> None:
    progress = on_a_terminal()
    repair = replace(COPY, id=8, repairs=2, repaired_from=7)
    assert "(repairs #7)" in attempt_line(repair).plain
    assert "#7 (repair 2 of the first answer)" in shown(attempt_report(repair))
    progress.cycle_started(1, Config(), None, [ATTEMPT, repair])
    bar = progress._bars.tasks[0]
    assert bar.completed == 1
    assert bar.fields["facts"] == "admitted 1 · best 50.0%, own mean 50.0% · 1 repair"
    progress.cycle_done(summary(repairs=9, repairs_valid=4, repairs_admitted=2), {})
    assert "repairs, counted separately: 4 of 9 valid, 2 admitted" in printed(progress)


@pytest.fixture
def progress() -> ConsoleProgress:
    return ConsoleProgress(Console(file=io.StringIO(), width=140, force_terminal=False))


def on_a_terminal() -> ConsoleProgress:
    screen = Console(file=io.StringIO(), width=140, force_terminal=True, color_system=None)
    return ConsoleProgress(screen)


def printed(progress: ConsoleProgress) -> str:
    return progress._console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_progress_parses_no_markup(progress: ConsoleProgress) -> None:
    adapter = Adapter("x[/y]", "", "b", "d", None, "c", 1, 1, 1.0, 1.0, 1.0)
    progress.cycle_started(1, Config(cycles=2), adapter, [])
    progress.note("file [b]name[/b].py [/]")
    progress.settled(COPY)
    assert printed(progress).splitlines() == [
        "Cycle 1 of 2: adapter x[/y] writes",
        "file [b]name[/b].py [/]",
        "  #7    refused  duplicate: copy of [b]",
    ]


def test_bar_counts_what_was_settled_before() -> None:
    progress = on_a_terminal()
    candidates = CandidatesConfig(per_cycle=3, until_admitted=9, max_per_cycle=5)
    progress.cycle_started(1, Config(candidates=candidates), None, [ATTEMPT, COPY])
    bar = progress._bars.tasks[0]
    assert (bar.completed, bar.total) == (2, 3)
    assert bar.fields["facts"].startswith("admitted 1, duplicate 1 · best 50.0%")
    totals = []
    for _ in range(4):
        progress.settled(ATTEMPT)
        totals.append((bar.completed, bar.total))
    assert totals == [(3, 3), (4, 5), (5, 5), (6, 6)]
    progress.cycle_started(2, Config(candidates=candidates), None, [])
    assert bar.description == "cycle 1", "the oldest that is open"
    progress.cycle_done(summary(), {})
    progress.settled(replace(ATTEMPT, cycle=2))
    assert (bar.description, bar.completed) == ("cycle 2", 1)
    progress.cycle_done(replace(summary(), cycle=2), {})
    progress.cycle_started(3, Config(candidates=candidates), None, [])
    assert (bar.completed, bar.total, bar.fields["facts"]) == (0, 3, "")


def test_effort_is_relative_to_our_own_loop() -> None:
    plain = Retraining(0.48, 200, 9, 2.0, 1.5)
    crams = replace(EVALUATION, cpu_s=6.0)
    attempt = replace(ATTEMPT, evaluation=crams, retraining=plain)
    assert attempt.relative_effort == 4.0
    on_gpu = replace(attempt, evaluation=replace(crams, device="cuda", seconds=4.4))
    assert on_gpu.relative_effort == 2.2, "the load may make one of the ratios larger"
    twice = replace(crams, trials=(Trial(1, 1, 0.5, 100), Trial(1, 2, 0.5, 100)))
    assert replace(attempt, evaluation=twice).relative_effort == 2.0
    failed = Retraining(None, 0, 9, 2.0, None, "forward: it failed")
    assert replace(attempt, retraining=failed).relative_effort is None
