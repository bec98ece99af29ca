"""What a run knows of an exported network: its origin for the card, and the index of all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from nngpt import statistics
from nngpt.records import Arm, Evaluation, Exported, Result, ShownBlock, Stage
from nngpt.reports.analysis.best import BestNetwork, final_accuracy, written_by
from nngpt.reports.analysis.rows import Place
from nngpt.reports.network_folder.contents import Origin, judged_95
from nngpt.reports.sheets import Sheet
from nngpt.reports.tables.runs import leaderboard_sheet
from nngpt.reports.text import NONE, accuracy, plural
from nngpt.store import Confirmation

_LEADERS = 20


def origin(
    source: BestNetwork,
    exported: Exported,
    validation: tuple[int, int],
    same: bool | None,
    again: str,
) -> Origin:
    """Return where an exported network comes from, for its card.

    Args:
        validation: (correct, total) predictions by the exported files.
        same: True if the export's training reproduced the recorded accuracies, None if it was
            another training.
        again: command that exports the network again.
    """
    attempt, run = source.attempt, source.run
    return Origin(
        title=f"Attempt {attempt.id} of run {run.id} ({run.name}), cycle {attempt.cycle}",
        author=tuple(author(source)),
        licence=licence(source),
        training=tuple(training(source, exported)),
        accuracies=tuple(accuracies(source, exported, validation, same)),
        again=again,
        epochs=len(exported.evaluation.epochs),
    )


def training(source: BestNetwork, exported: Exported) -> Iterator[str]:
    """Yield the lines of a card on the training: its protocol and circumstances."""
    evaluation = exported.evaluation
    protocol = json.loads(evaluation.protocol).items()
    told = [f"{key} {value}" for key, value in protocol if value is not None and key != "epochs"]
    yield ", ".join([plural(len(evaluation.epochs), "epoch"), *told])
    yield f"{evaluation.seconds:.1f} s on {evaluation.device}, sandbox {evaluation.sandbox}"
    if (novelty := source.attempt.novelty) is not None:
        yield f"nearest known network: {novelty.nearest or 'none'}, Jaccard {novelty.jaccard:.3f}"


def accuracies(
    source: BestNetwork, exported: Exported, validation: tuple[int, int], same: bool | None
) -> Iterator[str]:
    """Yield the accuracies that were known before the files were tested, one line each."""
    recorded, again = source.evaluation.result, exported.evaluation.epochs[-1]
    several = f" ({plural(len(recorded.trainings), 'training')})" if recorded.trainings else ""
    yield f"recorded by the run: {result_95(recorded)} validation images{several}"
    plain_loop = source.attempt.retraining
    if plain_loop is not None and plain_loop.accuracy is not None:
        right = round(plain_loop.accuracy * plain_loop.total)
        yield f"trained by nngpt's own loop: {judged_95(right, plain_loop.total)} validation images"
    yield f"the training of these weights: {judged_95(again.correct, again.total)}"
    yield {
        True: "that training gave the accuracies exactly as recorded",
        False: "that training did NOT give the accuracies as recorded",
        None: "another training than the recorded one (other epochs, device or folds)",
    }[same]
    if not agrees(exported.evaluation, validation[0]):
        yield "the files DISAGREE with the training: part of the network is not in state_dict"
    yield confirmed(source.confirmation)


def agrees(evaluation: Evaluation, correct: int) -> bool:
    """Return True if a card may say that exported weights predict as well as the training.

    On other devices than the CPU, and in bfloat16, rounding differs between processes.
    """
    last = evaluation.epochs[-1]
    precision = json.loads(evaluation.protocol).get("precision")
    exact = evaluation.device == "cpu" and precision == "float32"
    return abs(correct - last.correct) <= (0 if exact else max(1, last.total // 200))


def result_95(result: Result) -> str:
    """Format a result on a card; of two trainings, each instead of an interval."""
    return f"{accuracy(statistics.accuracy(*result))} of {result.images:,}"


def confirmed(confirmation: Confirmation | None) -> str:
    """Return the test accuracy of a full training for a card, or that there is none."""
    if confirmation is None or confirmation.accuracy is None:
        return "no full training: not in the sample of “nngpt cycle confirm”"
    epochs = plural(json.loads(confirmation.protocol)["epochs"], "epoch")
    right = round(confirmation.accuracy * confirmation.total)
    found = judged_95(right, confirmation.total)
    return f"a full training by “nngpt cycle confirm” ({epochs}): {found} test images"


def author(source: BestNetwork) -> Iterator[str]:
    """Yield the lines of a card on the network's author: model, adapters, prompt, seed, blocks."""
    yield written_by(source.attempt)
    for adapter in source.lineage:
        came = f"from {adapter.parent}" if adapter.parent else f"from the base {adapter.base}"
        corpus = f"{plural(adapter.pairs, 'pair')}, corpus {adapter.corpus_hash[:16]}"
        yield f"adapter {adapter.name}: {came}, {corpus}"
    prompt, completion = source.prompt, source.attempt.completion
    yield f"prompt: template {prompt.template}, hash {prompt.template_hash}, {prompt.mode}"
    yield f"sampling seed {completion.seed}, answer {completion.index} of its batch"
    for block in prompt.blocks:
        yield f"its prompt showed {_provenance(block)}"
    if not prompt.blocks:
        yield "its prompt showed no block of a library"


def licence(source: BestNetwork) -> str:
    """Return the licence of an exported network's code, as far as it is known."""
    if source.attempt.arm is Arm.CORPUS:
        return "MIT, as the LEMUR network that was changed"
    text = "none is claimed for code that a language model wrote"
    blocks = sorted({block.licence for block in source.prompt.blocks})
    return text + (f"; library code in its prompt is under {', '.join(blocks)}" if blocks else "")


def _provenance(block: ShownBlock) -> str:
    """Return a block's origin, licence and hash for the card of a network that saw it."""
    where = f"{block.target} {block.version}, licence {block.licence}"
    return f"{where}, SHA-256 of its file {block.sha256}"


def export_notes(networks: Sequence[BestNetwork], places: Sequence[Place]) -> Iterator[str]:
    """Yield what a user should know of the choice of networks before they are exported."""
    if tested := sum(network.confirmation is not None for network in networks):
        many = f"{tested} of {plural(len(networks), 'network')}"
        yield (
            f"“cycle confirm” has trained {many} in full; the test accuracies are on the cards and "
            "do not rank: validation images do."
        )
    taken = {network.attempt.id for network in networks}
    least = max(final_accuracy(network.attempt) for network in networks)
    for row in (place.row for place in places):
        refused = row.arm is Arm.LOOP and row.stage is Stage.NOVELTY
        if refused and row.attempt not in taken and (row.accuracy or 0) > least:
            yield (
                f"Attempt {row.attempt} did better ({row.accuracy:.1%}) and was refused only as a "
                "near-duplicate of a known network: --known includes such networks."
            )


def leaderboard(places: Sequence[Place], chosen: int) -> Sheet:
    """Return the leaderboard of a run for the page of one of its networks."""
    shown = [place for place in places if place.rank <= _LEADERS or place.row.attempt == chosen]
    return leaderboard_sheet(shown, None, f"Leaderboard of the run: this network is #{chosen}")


def index_sheet(rows: Sequence[Mapping[str, Any]], title: str) -> Sheet:
    """Return the table of all exported networks, which their cards describe."""
    heads = ("folder", ">attempt", "validation [95%]", "reproduced", "files", "test", "ONNX")
    cells = tuple(tuple(_cell(row, head) for head in _INDEX) for row in rows)
    note = (
        "Correct predictions: of validation images in the training and by the files, of test "
        "images by the files and by the ONNX file."
    )
    return Sheet(title, heads, cells, note)


_INDEX = ("folder", "attempt", "judged", "reproduced", "validation", "test", "onnx")


def _cell(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return f"refused: {row['refused']}" if name == "folder" and "refused" in row else NONE
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return judged_95(*value) if isinstance(value, list | tuple) else str(value)


def index_json(
    source: BestNetwork, exported: Exported, same: bool | None, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the facts about an exported network, those of its card, for a script.

    Args:
        facts: as `write_network_folder` returns them.
    """
    evaluation, test = exported.evaluation, source.confirmation
    last = evaluation.epochs[-1]
    right = None if test is None or test.accuracy is None else round(test.accuracy * test.total)
    return {
        "folder": source.folder,
        "attempt": source.attempt.id,
        "judged": (last.correct, last.total),
        "accuracy": evaluation.accuracy,
        "epochs": [asdict(epoch) for epoch in evaluation.epochs],
        "reproduced": same,
        "confirmed": None if test is None or right is None else (right, test.total),
        "tensors": len(exported.tensors),
        "sandbox": evaluation.sandbox,
        **facts,
    }
