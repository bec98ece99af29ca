"""Export a run's best networks as files: code, weights and ONNX, each with a card.

Their code is hostile until proven otherwise and never runs in this process: the executor trains
them once more in its sandbox and returns bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nngpt import files
from nngpt.config import Config, changed, completed
from nngpt.cycle.parts import open_executor
from nngpt.data.loading import data_source, load_splits, make_task
from nngpt.errors import ConfigError, UserError
from nngpt.protocols import ExportsWeights, Log
from nngpt.records import Evaluation, Exported, Refusal
from nngpt.reports.analysis.best import BestNetwork
from nngpt.reports.cards import accuracy_95, card, index_json, index_sheet, source_file
from nngpt.reports.sheets import Sheet, markdown_table
from nngpt.store import RunRecord

if TYPE_CHECKING:
    from nngpt.data.splits import Splits

_ONNX_S = 120.0


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
    """

    out: Path
    config: Config
    onnx: bool

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
            with _open_exporter(self.config, log) as (executor, splits):
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
        """Train and write one network; return its row of the index."""
        # With the recorded seed, so that the recorded accuracy must be reproduced.
        seed = network.evaluation.seed
        exported = executor.export(network.candidate, seed, self.onnx)
        head = f"  #{network.attempt.id:<5}"
        if isinstance(exported, Refusal):
            why = f"{exported.stage}: {exported.reason}"
            log(f"{head}refused at {why}")
            return {"attempt": network.attempt.id, "refused": why, "detail": exported.detail}
        same = reproduced(network.evaluation, exported.evaluation)
        text = card(network, exported, splits, same)
        _write_network(self.out / network.folder, source_file(network), text, exported)
        words = {True: "as recorded", False: "NOT as recorded", None: "another training"}
        onnx = f"; no ONNX: {exported.onnx_problem}" if exported.onnx_problem else ""
        loaded = accuracy_95(*exported.loaded)
        log(f"{head}{network.folder}: {words[same]}, from its files {loaded}{onnx}")
        return index_json(network, exported, same)


def export_config(run: RunRecord, epochs: int | None, sandbox: str | None) -> Config:
    """Return a run's configuration for an export: one training per network, time for ONNX.

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
        limit_s = limit_s * max(1, wanted / evaluation.epochs) + _ONNX_S
    return config.model_copy(update={"evaluation": evaluation.once(epochs=wanted, limit_s=limit_s)})


@contextmanager
def _open_exporter(config: Config, log: Log) -> Iterator[tuple[ExportsWeights, Splits]]:
    """Open the executor that trains networks for an export, and its training images.

    Raises: UserError if the executor cannot export weights, or cannot run here.
    """
    source = data_source(config)
    splits = load_splits(config, source, log)
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


def _write_network(folder: Path, code: str, card: str, exported: Exported) -> None:
    """Write the folder of an exported network atomically: all of its files, or nothing."""
    with files.scratch(folder) as partial:
        (partial / "network.py").write_text(code, encoding="utf-8")
        (partial / "weights.safetensors").write_bytes(exported.weights)
        if exported.onnx is not None:
            (partial / "network.onnx").write_bytes(exported.onnx)
        (partial / "card.md").write_text(card, encoding="utf-8")
        partial.chmod(0o755)
        files.publish(partial, folder)
