"""One attempt or training on the console: its outcome as a line, or all facts and its code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from nngpt.errors import readable
from nngpt.generation import modes
from nngpt.records import Arm, Evaluation, Refusal, Retraining, ShownBlock, State
from nngpt.reports.text import accuracy_of, block, plural
from nngpt.store import AttemptRecord


def attempt_line(attempt: AttemptRecord) -> Text:
    """Return an attempt as one line of a report: verdict, accuracy, size, reason."""
    line = Text(f"  #{attempt.id:<5}")
    if attempt.arm is not Arm.LOOP:
        line.append(f"(control {attempt.arm}) ")
    if attempt.repaired_from is not None:
        line.append(f"(repairs #{attempt.repaired_from}) ")
    admitted = attempt.state == State.ADMITTED
    line.append(f"{attempt.state:<9}", style="bold green" if admitted else "yellow")
    if attempt.evaluation is not None and attempt.result is not None:
        line.append(f"accuracy {accuracy_of(*attempt.result):<13}")
        line.append(f"{attempt.evaluation.claimed_parameters:>10,} parameters  ")
    if admitted and attempt.evaluation is not None and attempt.retraining is not None:
        line.append(f"its own loop: {attempt.evaluation.accuracy:.1%}  ")
    if admitted and attempt.novelty is not None:
        line.append(f"nearest known: Jaccard {attempt.novelty.jaccard:.2f}")
    if attempt.refusal is not None:
        line.append(readable(f"{attempt.refusal.stage}: {attempt.refusal.reason}"))
    return line


def outcome_line(outcome: Evaluation | Refusal) -> str:
    """Report an attempt's outcome as a line: accuracies, epochs, device, size, or refusal."""
    if isinstance(outcome, Refusal):
        return f"refused at {outcome.stage}: {outcome.reason}"
    curve = ", ".join(accuracy_of(*result) for result in outcome.curve)
    return (
        f"accuracy {curve} after {plural(len(outcome.epochs), 'epoch')} on "
        f"{outcome.device}, {outcome.claimed_parameters:,} parameters, {outcome.seconds:.1f} s"
    )


def attempt_report(attempt: AttemptRecord, blocks: Sequence[ShownBlock] = ()) -> RenderableType:
    """Return an attempt for the console: verdict, facts, curve, code, `blocks` of its prompt."""
    parts: list[RenderableType] = [attempt_line(attempt), _facts(attempt, blocks)]
    if attempt.refusal is not None and attempt.refusal.detail:
        parts += ["", Text("Why it was refused", "bold"), Text(block(attempt.refusal.detail))]
    if attempt.evaluation is not None:
        parts += ["", _curve(attempt)]
    title, code = "What the LLM wrote", attempt.completion.text
    if attempt.candidate is not None:
        if modes.load(attempt.mode).changes_parent:
            change = Syntax(block(attempt.candidate.written), "diff", background_color="default")
            parts += ["", Text("What the LLM changed", "bold"), change]
        title, code = "The network", attempt.candidate.code
    parts += ["", Text(title, "bold"), Syntax(block(code), "python", background_color="default")]
    return Group(*parts)


def _facts(attempt: AttemptRecord, blocks: Sequence[ShownBlock]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in attempt_facts(attempt):
        table.add_row(name, Text(value))  # a model wrote some of it: no markup
    for shown in blocks:
        where = f"{shown.target} {shown.version}, {shown.licence}, SHA-256 {shown.sha256}"
        table.add_row("shown", Text(where))
    return table


def attempt_facts(attempt: AttemptRecord) -> Iterator[tuple[str, str]]:
    """Yield name and value of all that was measured and claimed of an attempt."""
    completion, candidate, evaluation = attempt.completion, attempt.candidate, attempt.evaluation
    yield "cycle", str(attempt.cycle)
    yield "mode", str(attempt.mode)
    if attempt.repaired_from is not None:
        yield "repairs", f"#{attempt.repaired_from} (repair {attempt.repairs} of the first answer)"
    yield "written by", f"{completion.model}, adapter {completion.adapter or 'none'}"
    yield "tokens", f"{completion.completion_tokens} in {completion.seconds:.1f} s"
    if candidate is not None:
        values = "".join(f"{k} {v:g}, " for k, v in candidate.hyperparameters.items())
        yield "hyperparameters", f"{values}batch {candidate.batch}"
        yield "transform", candidate.transform
    if evaluation is not None:
        yield "parameters", f"{evaluation.claimed_parameters:,} (claimed)"
        if (flops := evaluation.claimed_flops) is not None:
            yield "operations", f"{flops:,} for one image (claimed)"
        if (latency := evaluation.claimed_latency_ms) is not None:
            yield "latency", f"{latency:.2f} ms for one image (claimed)"
        if (batches := evaluation.claimed_batches) is not None:
            yield "batches", f"{batches:,} drawn (claimed)"
        for name, value in (evaluation.claimed_proxies or {}).items():
            yield name, "not computable" if value is None else f"{value:.6g} (claimed)"
        cpu = "" if evaluation.cpu_s is None else f", {evaluation.cpu_s:.1f} CPU s"
        yield "evaluation", f"{evaluation.seconds:.1f} s on {evaluation.device}{cpu}"
        yield "protocol", evaluation.protocol
        yield "sandbox", evaluation.sandbox
    if attempt.retraining is not None:
        yield "our own loop", _plain(attempt, attempt.retraining)
    if attempt.novelty is not None:
        yield "nearest", f"{attempt.novelty.nearest}, Jaccard {attempt.novelty.jaccard:.3f}"


def _plain(attempt: AttemptRecord, plain: Retraining) -> str:
    if plain.accuracy is None:
        return f"failed at {plain.reason}"
    effort = attempt.relative_effort
    times = "" if effort is None else f"; its own took {effort:.1f} × that time"
    return f"accuracy {accuracy_of(plain.accuracy, plain.total)} in {plain.seconds:.1f} s{times}"


def _curve(attempt: AttemptRecord) -> Table:
    table = Table("epoch", "accuracy", "", "seconds")
    found = attempt.evaluation
    for epoch, result in zip(found.epochs, found.curve, strict=True) if found else ():
        bar = "█" * round(epoch.accuracy * 40)
        table.add_row(str(epoch.epoch), accuracy_of(*result), bar, f"{epoch.seconds:.1f}")
    return table
