"""Export a run's best networks, each as a folder that works without nngpt.

Their code is hostile until proven otherwise and never runs in this process: the executor trains
them once more in its sandbox, tests the files there, and returns bytes. The test images are
answered after validation images have chosen the networks (docs/design.md, Test set apart).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nngpt import files
from nngpt.config import Config, changed, completed
from nngpt.cycle.parts import check_same_images, open_executor
from nngpt.data.loading import data_source, load_splits, make_task
from nngpt.errors import ConfigError, UserError
from nngpt.protocols import ExportsWeights, Log
from nngpt.records import Evaluation, Refusal
from nngpt.reports.analysis.best import BestNetwork
from nngpt.reports.analysis.rows import Place
from nngpt.reports.cards import index_json, index_sheet, leaderboard, origin
from nngpt.reports.network_folder.contents import Contents, judged_95
from nngpt.reports.network_folder.folder import write_network_folder
from nngpt.reports.sheets import Sheet, markdown_table
from nngpt.store import RunRecord

if TYPE_CHECKING:
    from nngpt.data.splits import Splits


class ExportIndex:
    """`index.json` and `index.md` of an export, rewritten after each network.

    Attributes:
        rows: the facts of each exported or refused network, by attempt.
    """

    def __init__(self, out: Path, record: RunRecord, made: Mapping[str, Any]) -> None:
        """Begin an empty index of the folder `out`; `made` holds attempts and settings."""
        self._out, self._record, self._made = out, record, dict(made)
        self.rows: dict[int, dict[str, Any]] = {}

    @property
    def facts(self) -> dict[str, Any]:
        """The contents of the export's `index.json`: networks in the order of the attempts."""
        rows = [self.rows[number] for number in self._made["attempts"] if number in self.rows]
        head = {"run": self._record.id, "name": self._record.name}
        return {**head, "made": self._made, "networks": rows}

    @property
    def sheet(self) -> Sheet:
        """The table of the export's `index.md`."""
        title = f"Networks of run {self._record.id}: {self._record.name}"
        return index_sheet(self.facts["networks"], title)

    def resume(self) -> bool:
        """Take over the networks of an index that the same command wrote; return False if none."""
        try:
            found = files.parse_json((self._out / "index.json").read_bytes())
        except (OSError, ValueError):
            return False
        same = isinstance(found, dict) and {**found, "networks": []} == self.facts
        if same:  # refused networks are tried again
            whole = [row for row in found["networks"] if "folder" in row]
            whole = [row for row in whole if (self._out / row["folder"] / "card.md").is_file()]
            self.rows = {row["attempt"]: row for row in whole}
        return same

    def add(self, row: dict[str, Any]) -> None:
        """Add one exported network to the index, and write both files."""
        self.rows[row["attempt"]] = row
        self.write()

    def write(self) -> None:
        """Write `index.json` and `index.md` of the export, each by one rename."""
        index = json.dumps(self.facts, indent=2) + "\n"
        for name, text in (("index.json", index), ("index.md", markdown_table(self.sheet))):
            partial = self._out / f".{name}.partial"
            partial.write_text(text, encoding="utf-8")
            files.publish(partial, self._out / name)


@dataclass(frozen=True)
class Export:
    """One export of a run's best networks.

    Attributes:
        out: the folder of the export; it exists.
        config: the run's configuration with the training of the export (`export_config`).
        onnx: whether ONNX files are written too.
        places: the run's trained networks, for the leaderboards.
    """

    out: Path
    config: Config
    onnx: bool
    places: Sequence[Place]

    def write(self, record: RunRecord, networks: Sequence[BestNetwork], log: Log) -> ExportIndex:
        """Train and write the networks that the export's folder lacks, and return its index.

        Raises: UserError if the folder holds other files, or the executor cannot run here.
        """
        index = self._index(record, networks)
        left = [network for network in networks if network.attempt.id not in index.rows]
        if index.rows:
            log(f"{len(index.rows)} of {len(networks)} networks are here already.")
        index.write()
        if left:
            with _open_exporter(record, self.config, log) as (executor, splits):
                for network in left:
                    index.add(self._write_one(executor, splits, network, log))
        return index

    def _index(self, record: RunRecord, networks: Sequence[BestNetwork]) -> ExportIndex:
        """Return the folder's index, with the networks that an interrupted export wrote.

        Raises: UserError if the folder holds other files.
        """
        evaluation, attempts = self.config.evaluation, [network.attempt.id for network in networks]
        made = {"created": record.created, "attempts": attempts, "onnx": self.onnx}
        made |= {"epochs": evaluation.epochs, "sandbox": evaluation.sandbox}
        index, names = (
            ExportIndex(self.out, record, made),
            [path.name for path in self.out.iterdir()],
        )
        left_over = [name for name in names if name.startswith(".") and name.endswith(".partial")]
        if not index.resume() and names != left_over:
            hint = "Choose another folder with --out, or repeat the command that began this one"
            raise UserError("is not empty", where=str(self.out), hint=hint)
        return index

    def _write_one(
        self, executor: ExportsWeights, splits: Splits, network: BestNetwork, log: Log
    ) -> dict[str, Any]:
        """Train, test and write one network; return its row of the index."""
        # With the recorded seed, so that the recorded accuracy must be reproduced.
        seed, number = network.evaluation.seed, network.attempt.id
        exported = executor.export(network.candidate, seed)
        if isinstance(exported, Refusal):
            return _refused(number, exported, log)
        package = executor.package(network.candidate, seed, exported.weights, self.onnx)
        if isinstance(package, Refusal):
            return _refused(number, package, log)
        same = reproduced(network.evaluation, exported.evaluation)
        facts = write_network_folder(
            self.out / network.folder,
            Contents(
                network.candidate,
                exported.weights,
                package,
                splits,
                origin(network, exported, package.validation, same, self._command(network)),
                leaderboard(self.places, number),
            ),
        )
        words = {True: "as recorded", False: "NOT as recorded", None: "another training"}
        onnx = f"; no ONNX: {package.onnx_problem}" if package.onnx_problem else ""
        tested = judged_95(*facts["test"])
        log(f"  #{number:<5}{network.folder}: {words[same]}, {tested} test images{onnx}")
        return index_json(network, exported, same, facts)

    def _command(self, network: BestNetwork) -> str:
        """Return the command that exports a network again."""
        run, epochs = network.run, self.config.evaluation.epochs
        more = f" --epochs {epochs}" if epochs != run.config["evaluation"].get("epochs") else ""
        words = f"cycle export {shlex.quote(run.name)} --attempt {network.attempt.id}"
        return f"$ nngpt {words} --out NEW_FOLDER{more}"


def _refused(number: int, refusal: Refusal, log: Log) -> dict[str, Any]:
    """Log a network that cannot be exported; return its row of the index."""
    why = f"{refusal.stage}: {refusal.reason}"
    log(f"  #{number:<5}refused at {why}")
    return {"attempt": number, "refused": why, "detail": refusal.detail}


def export_config(run: RunRecord, epochs: int | None, sandbox: str | None) -> Config:
    """Return a run's configuration for an export: one training per network.

    Args:
        epochs: number of epochs, None for the run's.
        sandbox: containment level, None for the run's.

    Raises: ConfigError if the containment level is unknown.
    """
    extra = [f"evaluation.sandbox={sandbox}"] if sandbox else []
    config = changed(completed(run.config), extra, "--sandbox")
    evaluation = config.evaluation
    wanted = epochs or evaluation.epochs
    limit_s = evaluation.limit_s
    if limit_s != "auto":
        limit_s *= max(1, wanted / evaluation.epochs)
    return config.model_copy(update={"evaluation": evaluation.once(epochs=wanted, limit_s=limit_s)})


@contextmanager
def _open_exporter(
    record: RunRecord, config: Config, log: Log
) -> Iterator[tuple[ExportsWeights, Splits]]:
    """Open the executor that trains networks for an export, and its training images.

    Raises: UserError if the executor cannot export weights, or cannot run here.
    """
    source = data_source(config)
    splits = load_splits(config, source, log)
    check_same_images(record, config, splits)
    task = replace(make_task(config, source), max_latency_ms=None)
    with open_executor(config, splits, task, log) as executor:
        if not isinstance(executor, ExportsWeights):
            raise ConfigError(
                f"the executor {config.evaluation.executor!r} cannot export weights",
                where="evaluation.executor",
                hint="Use --set evaluation.executor=local",
            )
        level = executor.level.partition(":")[0]
        log(f"Training: {splits.train.count:,} images of {splits.name}, sandbox level {level}")
        yield executor, splits


def reproduced(recorded: Evaluation, again: Evaluation) -> bool | None:
    """Return whether an export's training gave the recorded accuracies; None: other protocol."""
    was, now = (json.loads(evaluation.protocol) for evaluation in (recorded, again))
    keys = ("epochs", "precision", "memory_format", "folds", "threads")
    same = all(was.get(key) == now.get(key) for key in keys)
    if not same or recorded.device != again.device:
        return None
    if len(recorded.trials) > 1:  # one training per seed, the first with the seed itself
        return recorded.trials[0].accuracy == again.accuracy
    return [e.correct for e in recorded.epochs] == [e.correct for e in again.epochs]
