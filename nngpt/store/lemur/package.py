"""A LEMUR package as an import source: classify its files and parse them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from nngpt.store.lemur.device_runs import read_run
from nngpt.store.lemur.package_files import FolderContainer, ZipContainer
from nngpt.store.lemur.records import (
    KINDS,
    BrokenFile,
    CodeFile,
    Experiment,
    Item,
    Kind,
    Refused,
    StatFile,
    TrialRecord,
)
from nngpt.store.lemur.trial_format import split_trial

_TRAIN, _RUN = ("stat", "train"), ("stat", "run")
_OTHER_RUNS = frozenset({"tflite", "pt"})
_EPOCH = re.compile(r"0|[1-9][0-9]{0,8}")
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


class PackageSource:
    """The networks, statistics and device runs of a package; implements `ImportSource`."""

    def __init__(self, container: FolderContainer | ZipContainer) -> None:
        self.name, self.sha256 = container.name, container.sha256
        self._container = container
        parts = [(path.split("/"), path) for path in container.paths]
        codes = {kind: sorted(p for s, p in parts if _is_code(s, kind)) for kind in KINDS}
        self._codes = [(kind, path) for kind in KINDS for path in codes[kind]]
        self._stats = sorted((p for s, p in parts if _is_under(s, _TRAIN)), key=_by_epoch)
        self._runs = sorted(p for s, p in parts if _is_under(s, _RUN) and s[2] not in _OTHER_RUNS)
        self.total = len(self._codes) + len(self._stats) + len(self._runs)
        ours = {*(path for _, path in self._codes), *self._stats, *self._runs}
        self.left_alone = dict(Counter(_place(s) for s, p in parts if p not in ours))

    def items(self) -> Iterator[Item]:
        """Yield every file, parsed or refused: unreadable ones, code, statistics, device runs.

        The order is fixed and does not depend on the container.
        """
        for path, reason in sorted(self._container.unreadable.items()):
            yield Refused(_printable(path), reason)
        for kind, path in self._codes:
            yield self._read(path, partial(_code, kind))
        for path in self._stats:
            yield self._read(path, _statistics)
        for path in self._runs:
            yield self._read(path, _run)

    def close(self) -> None:
        """Close the package's folder or archive."""
        self._container.close()

    def _read(self, path: str, make: Callable[[bytes, str], Item]) -> Item:
        try:
            if _printable(path) != path:
                raise BrokenFile("its name is not UTF-8")
            return make(self._container.read(path), path)
        except BrokenFile as error:
            network = path[len("nn/") : -len(".py")] if path.startswith("nn/") else None
            return Refused(_printable(path), error.what, network)


def parse_json(data: bytes) -> Any:
    """Parse a JSON file of the LEMUR package, allowing bare NaN and Infinity.

    Raises:
        BrokenFile: not JSON in UTF-8, nested too deeply, or with half a surrogate pair.
    """
    try:
        text = data.decode()
        value = json.loads(text)
        if _HALF_PAIR.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise BrokenFile(f"is not UTF-8 (byte {error.start})") from None
    except UnicodeEncodeError:
        raise BrokenFile("contains half a surrogate pair") from None
    except RecursionError:
        raise BrokenFile("is nested too deeply") from None
    except ValueError as error:
        raise BrokenFile(f"is not JSON ({error})") from None
    return value


def _code(kind: Kind, data: bytes, path: str) -> CodeFile:
    name = path.split("/")[-1].removesuffix(".py")
    try:
        return CodeFile(path, kind, name, data.decode())
    except UnicodeDecodeError as error:
        raise BrokenFile(f"is not UTF-8 (byte {error.start})") from None


def _statistics(data: bytes, path: str) -> StatFile:
    experiment, epoch = _place_of_statistics(path)
    listed = parse_json(data)
    if isinstance(listed, dict):  # LEMUR 2.2 accepts a single trial
        listed = [listed]
    if not isinstance(listed, list):
        raise BrokenFile("is neither a list of trials nor a trial")
    trials = []
    for number, values in enumerate(listed, start=1):
        try:
            trials.append(split_trial(experiment, epoch, values))
        except BrokenFile as error:
            raise BrokenFile(f"trial {number} of {len(listed)}: {error.what}") from None
    trials.sort(key=best_first)
    return StatFile(path, experiment, epoch, tuple(trials))


def best_first(trial: TrialRecord) -> float:
    """Return a sort key for trials of a LEMUR package: highest accuracy first, None last."""
    return float("inf") if trial.accuracy is None else -trial.accuracy


def _place_of_statistics(path: str) -> tuple[Experiment, int]:
    *_, folder, file = path.split("/")
    if path.count("/") != 3:
        raise BrokenFile("is not in a folder named task_dataset_metric_network")
    names = folder.split("_")
    if len(names) != 4 or not all(names):
        raise BrokenFile(f"the folder name {folder!r} is not task_dataset_metric_network")
    stem = file.removesuffix(".json")
    if not _EPOCH.fullmatch(stem):
        raise BrokenFile("the file name is not an epoch number")
    return Experiment(*names), int(stem)


def _run(data: bytes, path: str) -> Item:
    return read_run(path.removeprefix("/".join(_RUN) + "/"), parse_json(data))


def _is_code(parts: list[str], kind: Kind) -> bool:
    name = parts[-1]
    return len(parts) == 2 and parts[0] == kind and name.endswith(".py") and name != "__init__.py"


def _is_under(parts: list[str], folder: tuple[str, str]) -> bool:
    return len(parts) > 2 and (parts[0], parts[1]) == folder and parts[-1].endswith(".json")


def _by_epoch(path: str) -> tuple[str, int, str]:
    folder, _, file = path.rpartition("/")
    return folder, len(file), file


def _place(parts: list[str]) -> str:
    """Return the folder under which an ignored file is counted."""
    depth = 3 if tuple(parts[:2]) == _RUN else 2 if parts[0] == "stat" else 1
    return "/".join(parts[: min(depth, len(parts) - 1)]) or "ab/nn"


def _printable(path: str) -> str:
    """Return the path with bytes that are not UTF-8 escaped."""
    return path.encode("utf-8", "backslashreplace").decode()
