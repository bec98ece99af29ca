"""Figures from records made by hand, whose answers can be worked out with a pencil."""

from __future__ import annotations

import json
from statistics import fmean

import pytest
from comparison_samples import (
    MACHINE,
    NO_CODE,
    SETTING,
    answers,
    arm,
    checked,
    corpus,
    layers,
    sample,
    session,
    trained,
)

from nngpt.finetuning.compare.records import CHECK, TRAIN, Line, Session
from nngpt.reports.comparison.figures import compute_figures
from nngpt.reports.comparison.files import as_json, markdown, notes, page
from nngpt.reports.comparison.sheets import sheets
from nngpt.statistics import Difference, mean_half_width, newcombe

NETWORKS = [layers(8), layers(16, 32), layers(8), "", layers(4, 4, 4)]
"""One answer is a copy of an earlier one, one is refused by the contract."""


def record(*lines: Line, arms: tuple[str, ...] = ("base",), how: str, samples: int) -> list[Line]:
    heads = [arm(name, adapter=name != "base") for name in arms]
    return [SETTING, session(*arms, samples=samples, how=how), *heads, *lines]


def checks(of: str, runs: list[bool]) -> list[Line]:
    """Outcomes on both shapes of the answers that the contract takes."""
    shapes = ("mnist", "cifar10")
    kept = [i for i, network in enumerate(NETWORKS) if network]
    return [checked(of, i, ok, task) for i, ok in zip(kept, runs, strict=True) for task in shapes]


def test_validity_counts_every_answer_and_shows_copies_apart() -> None:
    lines = record(*answers("base", NETWORKS), *checks("base", [True, True, True, False]),
                   how=CHECK, samples=5)  # fmt: skip
    (cell,) = compute_figures(lines, None).results
    assert (cell.fit, cell.runs, cell.distinct) == ((4, 5), (3, 5), (2, 5))
    assert cell.refused == {"parse": 1, "build": 1}
    assert cell.finished and cell.asked == "mnist, cifar10"


def test_a_network_must_run_at_every_shape() -> None:
    lines = record(sample("base", 0, layers(8)), checked("base", 0), how=CHECK, samples=1)
    assert compute_figures([*lines, checked("base", 0, False, "cifar10")], None).results[
        0
    ].runs == (0, 1)
    assert compute_figures([*lines, checked("base", 0, True, "cifar10")], None).results[0].runs == (
        1,
        1,
    )


def test_an_example_of_the_prompt_is_not_distinct() -> None:
    lines = record(sample("base", 0, layers(8), shown=True), how=TRAIN, samples=1)
    (cell, _) = compute_figures([*lines, trained("base", 0, 0.9)], None).results
    assert cell.task == "cifar10" and not cell.finished, "nothing was trained on it yet"
    cell = compute_figures([*lines, trained("base", 0, 0.9)], None).results[1]
    assert (cell.runs, cell.distinct) == ((1, 1), (0, 1))


def test_what_is_not_judged_yet_ends_the_count() -> None:
    """Later answers that are refused or done already must not tip the balance."""
    lines = record(*answers("base", [layers(8), layers(16), "", layers(4)]), how=CHECK, samples=4)
    some = [checked("base", i, True, t) for i in (0, 3) for t in ("mnist", "cifar10")]
    (cell,) = compute_figures([*lines, *some], None).results
    assert cell.fit == (1, 1) and not cell.finished
    assert "*" in sheets(compute_figures([*lines, *some], None))[0].rows[0][0]


def test_training_fewer_than_were_checked_counts_only_these() -> None:
    lines = record(*answers("base", NETWORKS), *checks("base", [True] * 4), how=CHECK, samples=5)
    lines += [session("base", samples=2, how=TRAIN, tasks=("mnist",))]
    lines += [trained("base", 0, 0.5), trained("base", 1, 0.7)]
    check, train = compute_figures(lines, None).results
    assert check.fit == (4, 5)
    assert train.fit == (2, 2) and train.finished and train.accuracy is not None
    assert fmean(train.accuracy.runs) == pytest.approx(0.6)


def two_arms() -> list[Line]:
    """The base runs in 2 of 4, the adapter in 4 of 4."""
    base, tuned = [layers(8), layers(16), layers(32), ""], [layers(w) for w in (8, 16, 24, 40)]
    lines = record(
        *answers("base", base),
        *answers("tuned", tuned),
        arms=("base", "tuned"),
        how=TRAIN,
        samples=4,
    )
    lines[1] = session("base", "tuned", samples=4, how=TRAIN, tasks=("mnist",))
    base_accuracies, tuned_accuracies = [0.2, 0.4, None], [0.6, 0.8, 0.7, 0.7]
    lines += [trained("base", i, a) for i, a in enumerate(base_accuracies)]
    lines += [trained("tuned", i, a) for i, a in enumerate(tuned_accuracies)]
    return lines


def test_accuracy_with_and_without_those_that_do_not_run() -> None:
    base, tuned = compute_figures(two_arms(), None).results
    assert base.accuracy is not None and tuned.accuracy is not None
    assert base.accuracy.runs == (0.2, 0.4)
    assert base.accuracy.everything == (0.2, 0.4, 0.1, 0.1)
    data = as_json(compute_figures(two_arms(), None))["cells"][1]["accuracy"]
    assert (data["best"], data["median"]) == (0.8, pytest.approx(0.7))
    assert data["runs"]["n"] == 4 and data["runs"]["mean"] == pytest.approx(0.7)
    # t(3) = 3.182446; the standard deviation of the four is 0.0816497.
    assert data["runs"]["half_width"] == pytest.approx(3.182446 * 0.0816497 / 2, rel=1e-5)
    assert data["runs"]["half_width"] == mean_half_width(tuned.accuracy.runs)[1]


def test_differences_are_the_arm_less_the_base() -> None:
    found = {d.what: d for d in compute_figures(two_arms(), None).differences}
    run = found["run"]
    assert (run.arm, run.base) == ("tuned", "base")
    assert run.found == Difference(*newcombe((4, 4), (2, 4)), 4, other_count=4)
    everyone = found["mean accuracy, others as chance"].found
    assert everyone.value == pytest.approx(0.7 - 0.2) and everyone.other_count == 4
    assert everyone.sign == 1
    alone = found["mean accuracy, of those that run"].found
    assert alone.value == pytest.approx(0.4) and alone.other_count == 2


def test_a_base_that_never_runs_still_has_its_chance_accuracy() -> None:
    lines = [line for line in two_arms() if getattr(line, "arm", "") != "base"]
    lines += [sample("base", i, "") for i in range(4)]
    base = compute_figures(lines, None).results[0]
    assert base.arm == "base" and base.runs == (0, 4) and base.accuracy is not None
    assert base.accuracy.everything == (0.1,) * 4 and base.accuracy.runs == ()
    found = {d.what for d in compute_figures(lines, None).differences}
    assert "mean accuracy, others as chance" in found
    assert "mean accuracy, of those that run" not in found


def test_copies_of_the_corpus() -> None:
    known = layers(8, 16, 32, 64)
    renumbered = known.replace("64", "65")  # the same tokens but for a number
    other = layers(8, 16, activation="GELU")
    networks = [known, renumbered, other, ""]
    lines = record(*answers("base", networks), how="", samples=4)
    (copies,) = compute_figures(lines, corpus(known, layers(8, activation="Tanh"))).copies
    assert copies.valid == copies.fit == (2, 3) and copies.verbatim == (1, 3)
    assert copies.nearest[:2] == (1.0, 1.0) and copies.nearest[2] < 0.9
    # With a judgement only what runs counts for the first share, the contract for the second.
    lines = record(*answers("base", networks), how=CHECK, samples=4)
    outcomes = [checked("base", i, i > 0, t) for i in range(3) for t in ("mnist", "cifar10")]
    (copies,) = compute_figures([*lines, *outcomes], corpus(known)).copies
    assert copies.valid == (1, 2) and copies.fit == (2, 3)


def test_diversity_of_the_corpus_itself_is_that_of_the_corpus() -> None:
    kinds = ("ReLU", "GELU", "SiLU", "Tanh")
    networks = [layers(*[8] * n, activation=a) for n in (1, 2, 3) for a in kinds]
    lines = record(*answers("base", networks), how="", samples=12)
    (diversity,) = compute_figures(lines, corpus(*networks)).diversity
    assert diversity.networks == 12 and diversity.distinct == (12, 12)
    for name, figure in diversity.figures.items():
        assert figure.ratio is not None and figure.ratio.value == pytest.approx(1), name
        assert figure.ratio.interval is not None
        assert figure.ratio.interval[0] <= 1 <= figure.ratio.interval[1], name
    assert diversity.figures["depth, mean"].arm.value == 2
    assert diversity.kinds == {"Conv2d": 12, **dict.fromkeys(sorted(kinds), 3)}


def test_a_collapsed_arm_shows() -> None:
    lines = record(*answers("base", [layers(8)] * 12), how="", samples=12)
    various = [layers(*range(n), activation=a) for n in (1, 2, 3, 4, 5) for a in ("ReLU", "GELU")]
    (diversity,) = compute_figures(lines, corpus(*various)).diversity
    assert diversity.distinct == (1, 12) and diversity.apart == (1, 12)
    ratios = {name: f.ratio.value for name, f in diversity.figures.items() if f.ratio}
    assert ratios["depth, standard deviation"] == 0
    assert ratios["pairwise dissimilarity (1 − Jaccard)"] == 0


def test_prompts_that_name_the_task_are_counted_apart_and_together() -> None:
    shared = [sample("base", i, layers(8 + i)) for i in range(2)]
    lines = record(*shared, how=CHECK, samples=2)
    other = [s.__class__(**{**s.__dict__, "asked": "q" * 12}) for s in shared]
    prompts = {"base": {"p" * 12: ["mnist"], "q" * 12: ["cifar10"]}}
    tasks = ("mnist", "cifar10")
    lines[1] = Session("2026-11-24", "nngpt …", 2, CHECK, tasks, prompts, MACHINE)
    outcomes = [checked("base", i, True, t) for i in range(2) for t in tasks]
    outcomes += [o.__class__(**{**o.__dict__, "asked": "q" * 12}) for o in outcomes]
    cells = compute_figures([*lines, *other, *outcomes], None).results
    assert [(c.asked, c.runs) for c in cells] == [
        ("mnist", (2, 2)),
        ("cifar10", (2, 2)),
        ("all prompts", (4, 4)),
    ]


def test_deviations_small_numbers_and_a_missing_base_are_said() -> None:
    lines = [
        session("hot", samples=1, how=""),
        arm("hot", adapter=True),
        sample("hot", 0, layers(8)),
    ]
    assert any("No arm is the base model" in note for note in notes(compute_figures(lines, None)))
    lines = record(sample("base", 0, layers(8)), how="", samples=1)
    lines += [arm("hot", adapter=True, temperature=0.9)]
    said = " ".join(notes(compute_figures(lines, None)))
    assert "hot differs from base in: sampling.temperature 0.9 instead of 0.5" in said
    assert "Fewer than 100 samples" in said


def test_everything_can_be_written() -> None:
    found = compute_figures(two_arms(), corpus(layers(8), layers(16, 16)))
    data = json.loads(json.dumps(as_json(found), allow_nan=False))
    assert data["cells"][1]["runs"] == {
        "hits": 4, "total": 4, "share": 1.0, "interval": pytest.approx([0.5101, 1.0], abs=1e-4)
    }  # fmt: skip
    text = markdown(found)
    assert "| tuned − base | run | mnist | +50.0 \\[" in text
    assert "2026-11-24, a CPU, 2 cores, no GPU; nngpt 0." in text and "$ nngpt …" in text
    html = page(found)
    drawn = html.count('class="whole')
    assert drawn == 3, "answers that run, accuracies, nearest in the corpus"
    assert "<script" not in html and "http" not in html.replace("http-equiv", "")


def test_refusals_travel_through_the_record() -> None:
    assert sample("base", 0, "").refusal == NO_CODE
