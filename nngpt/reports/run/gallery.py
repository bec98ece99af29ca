"""The best networks of a run: facts, diagram, code, and differences from the nearest network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from nngpt.errors import readable
from nngpt.generation import contract
from nngpt.novelty.dedup.collection import Network
from nngpt.records import Arm, Candidate, State
from nngpt.reports.analysis.layers import chain
from nngpt.reports.analysis.novelty import Near, NetworkPlace
from nngpt.reports.analysis.study import Study
from nngpt.reports.diagram import Diagram, diagram
from nngpt.reports.diff import DiffLine, marked_diff
from nngpt.reports.text import accuracy
from nngpt.statistics import accuracy as accuracy_estimate
from nngpt.store import AttemptRecord


@dataclass(frozen=True)
class Exhibit:
    """A network of the gallery.

    Attributes:
        diagram: its layers, None if they could not be read.
        against: name of the network it is compared with, "" if none is known.
        diff: unified diff of the answers, from `against` to this network.
    """

    attempt: int
    headline: str
    facts: tuple[tuple[str, str], ...]
    diagram: Diagram | None
    code: Markup
    against: str
    diff: Sequence[DiffLine]


def gallery(study: Study, count: int) -> list[Exhibit]:
    """Return a gallery of the loop's `count` most accurate admitted networks; ties by size."""
    admitted = [a for a in study.of(Arm.LOOP) if a.state == State.ADMITTED]
    trained = [a for a in admitted if a.evaluation is not None and a.candidate is not None]
    trained.sort(key=_rank)
    places = {p.attempt: p for p in study.places}
    return [_exhibit(study, a, places[a.id]) for a in trained[:count]]


def _rank(attempt: AttemptRecord) -> tuple[float, int, int]:
    assert attempt.evaluation is not None and attempt.result is not None
    return -attempt.result[0], attempt.evaluation.claimed_parameters, attempt.id


def _exhibit(study: Study, attempt: AttemptRecord, place: NetworkPlace) -> Exhibit:
    candidate, result = attempt.candidate, attempt.result
    assert candidate is not None and result is not None
    near = place.corpus or place.sibling
    other = _find(study, near)
    diff: Sequence[DiffLine] = ()
    if near is not None and other is not None:
        diff = marked_diff(_network(near.name, other), _network(f"#{attempt.id}", candidate))
    return Exhibit(
        attempt=attempt.id,
        headline=accuracy(accuracy_estimate(*result)),
        facts=tuple(_facts(attempt, place)),
        diagram=diagram(chain(candidate)),
        code=_code_html(candidate.code),
        against=near.name if near is not None and other is not None else "",
        diff=diff,
    )


def _facts(attempt: AttemptRecord, place: NetworkPlace) -> list[tuple[str, str]]:
    evaluation, candidate = attempt.evaluation, attempt.candidate
    assert evaluation is not None and candidate is not None
    writer = attempt.completion.adapter or "base model"
    values = [f"{name} {value:g}" for name, value in candidate.hyperparameters.items()]
    values.append(f"batch {candidate.batch}")
    found = [
        ("written", f"cycle {attempt.cycle}, by {writer}"),
        ("parameters", f"{evaluation.claimed_parameters:,}"),
        ("settings", ", ".join([*values, f"transform {candidate.transform}"])),
    ]
    if attempt.retraining is not None and attempt.retraining.accuracy is not None:
        own = accuracy_estimate(*evaluation.result)
        found.append(("trained by its own loop", accuracy(own)))
    if evaluation.claimed_latency_ms is not None:
        found.append(("latency", f"{evaluation.claimed_latency_ms:.2f} ms"))
    if (flops := evaluation.claimed_flops) is not None:
        found.append(("operations", f"{flops / 1e6:,.1f} million per forward pass"))
    nearest = {"nearest in the corpus": place.corpus, "nearest trained before": place.sibling}
    for label, near in nearest.items():
        if near is not None:
            found.append((label, f"{near.name}, Jaccard {near.jaccard:.2f}"))
    return found


def _find(study: Study, near: Near | None) -> Candidate | None:
    if near is None:
        return None
    known = study.setting.corpus.get(near.name)
    siblings = (a.candidate for a in study.attempts if f"attempt {a.id}" == near.name)
    return known or next(siblings, None)


def _network(name: str, candidate: Candidate) -> Network:
    return Network(name, contract.novelty_text(candidate), "")


def _code_html(code: str) -> Markup:
    """Return a gallery network's code as HTML with `span`s for a style sheet; all of it is text."""
    lines = code.replace("\r\n", "\n").expandtabs(4).split("\n")
    shown = "\n".join(map(readable, lines)).rstrip()
    formatter = HtmlFormatter(nowrap=True, classprefix="p-")
    # The formatter escapes its input.
    return Markup(highlight(shown, PythonLexer(stripnl=False), formatter).rstrip("\n"))
