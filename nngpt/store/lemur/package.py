"""A LEMUR package as an import source: read a folder or archive, classify and parse its files.

Both readers list the paths below `ab/nn`, and refuse single files that cannot be read. No link is
followed to a folder, so loops of links are harmless, or out of the folder that the user gave.
"""

from __future__ import annotations

import json
import os
import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from nngpt import files
from nngpt.errors import DataError
from nngpt.store.lemur.file_formats import read_run, split_trial
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

_TRAIN, _RUN = ("stat", "train"), ("stat", "run")
_OTHER_RUNS = frozenset({"tflite", "pt"})
_EPOCH = re.compile(r"0|[1-9][0-9]{0,8}")
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
PACKAGE = ("ab", "nn")
_LARGEST = 64 << 20
_LOCAL_HEADER = struct.Struct("<4s2xHH16xHH")
_ENCRYPTED = 1
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError)
NO_PACKAGE = "Give a folder or archive that contains ab/nn, or LEMUR's database ab.nn.db"


class FolderContainer:
    """Files of a LEMUR package in a folder, checkout or `ab/nn`. Raises: DataError: no package.

    Attributes:
        name: path of the folder.
        sha256: None; an archive has a hash.
        paths: paths of all files, relative to `ab/nn`.
        unreadable: path → reason, of entries that are not readable files.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.sha256: str | None = None
        self._top = path.resolve()
        self._root = _package_folder(path)
        self.paths: list[str] = []
        self.unreadable: dict[str, str] = {}
        self._list("")

    def read(self, path: str) -> bytes:
        """Return the content of a file. Raises: BrokenFile: unreadable, or over 64 MiB."""
        try:
            with (self._root / path).open("rb") as file:
                data = file.read(_LARGEST + 1)
        except OSError as error:
            raise BrokenFile(f"cannot be read ({error.strerror})") from None
        if len(data) > _LARGEST:
            raise BrokenFile(f"is larger than {_LARGEST >> 20} MiB")
        return data

    def close(self) -> None:
        """Do nothing: no file of the package is open."""

    def _list(self, below: str) -> None:
        try:
            with os.scandir(self._root / below) as entries:
                found = list(entries)
        except OSError as error:
            self.unreadable[below] = f"cannot be read ({error.strerror})"
            return
        for entry in found:
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                self._list(path)
            elif reason := self._refusal_reason(entry):
                self.unreadable[path] = reason
            else:
                self.paths.append(path)

    def _refusal_reason(self, entry: os.DirEntry[str]) -> str | None:
        """Return why an entry that is not a folder cannot be read as a file, or None."""
        try:
            mode = entry.stat().st_mode
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        if stat.S_ISDIR(mode):
            return "is a link to a folder (not followed)"
        if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(self._top):
            return "is a link out of the folder (not followed)"
        return None if stat.S_ISREG(mode) else "is not a regular file"


class ZipContainer:
    """Files of a LEMUR package in a wheel or zip, with the interface of `FolderContainer`.

    Raises:
        DataError: damaged, or no package inside.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        try:
            self.sha256: str | None = files.digest(path)
            self._file = path.open("rb")
            self._zip = zipfile.ZipFile(self._file)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise DataError(f"cannot be read ({error})", where=str(path)) from None
        names = [info for info in self._zip.infolist() if not info.is_dir()]
        root = _package_prefix([info.filename for info in names])
        if root is None:
            self.close()
            raise DataError("contains no LEMUR package", where=str(path), hint=NO_PACKAGE)
        inside = (info for info in names if info.filename.startswith(root))
        self._members = {info.filename.removeprefix(root): info for info in inside}
        self.paths = list(self._members)
        self.unreadable: dict[str, str] = {}

    def read(self, path: str) -> bytes:
        """Return the content of a member. Raises: BrokenFile: damaged, or over 64 MiB."""
        member = self._members[path]
        if member.file_size > _LARGEST:
            raise BrokenFile(f"is larger than {_LARGEST >> 20} MiB")
        try:
            return self._content(member)
        except (*_DAMAGED, OSError, RuntimeError) as error:
            # RuntimeError: encrypted; its subclass NotImplementedError: unknown compression.
            raise BrokenFile(f"is damaged ({error})") from None

    def close(self) -> None:
        """Close the archive of the package."""
        self._file.close()

    def _content(self, member: zipfile.ZipInfo) -> bytes:
        """Return a member's bytes, several times faster than `ZipFile.read`."""
        self._file.seek(member.header_offset)
        header = self._file.read(_LOCAL_HEADER.size)
        magic, flags, method, name_size, extra_size = _LOCAL_HEADER.unpack(header)
        if magic != b"PK\3\4" or flags & _ENCRYPTED or method != zipfile.ZIP_DEFLATED:
            return self._zip.read(member)
        self._file.seek(name_size + extra_size, os.SEEK_CUR)
        packed = self._file.read(member.compress_size)
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.file_size + 1)
        if len(data) != member.file_size or zlib.crc32(data) != member.CRC:
            raise zipfile.BadZipFile("wrong checksum")
        return data


def _package_folder(path: Path) -> Path:
    top = path.resolve()
    for folder in (path.joinpath(*PACKAGE), path):
        if (folder / "nn").is_dir() or (folder / "stat").is_dir():
            if not folder.resolve().is_relative_to(top):
                what = f"its {'/'.join(PACKAGE)} is a link out of the folder"
                raise DataError(what, where=str(path), hint="Give the folder itself")
            return folder
    raise DataError("contains no LEMUR package", where=str(path), hint=NO_PACKAGE)


def _package_prefix(names: list[str]) -> str | None:
    """Return the archive's `…/ab/nn/` folder nearest to the root, or None."""
    inside = "/".join(PACKAGE) + "/"
    found = {name[: at + len(inside)] for name in names if (at := _at_start(name, inside)) >= 0}
    return min(found, key=lambda prefix: (len(PurePosixPath(prefix).parts), prefix), default=None)


def _at_start(name: str, inside: str) -> int:
    """Return the index at which `inside` begins in a path, as whole parts; -1 if nowhere."""
    return 0 if name.startswith(inside) else (name.find("/" + inside) + 1 or -1)


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


def _parse_json(data: bytes) -> Any:
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
    listed = _parse_json(data)
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
    trials.sort(key=_best_first)
    return StatFile(path, experiment, epoch, tuple(trials))


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
    return read_run(path.removeprefix("/".join(_RUN) + "/"), _parse_json(data))


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


def _best_first(trial: TrialRecord) -> float:
    """Return a sort key for trials of a LEMUR package: highest accuracy first, None last."""
    return float("inf") if trial.accuracy is None else -trial.accuracy
