"""Writes what is kept: a list, a folder of files, chat pairs. Whole, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from nngpt import plugins
from nngpt.errors import UserError
from nngpt.generation.contract import answers
from nngpt.generation.contract.answers import Answer
from nngpt.generation.prompts import template as prompts
from nngpt.novelty.dedup.collection import Collection
from nngpt.novelty.dedup.records import Network, Outcome
from nngpt.records import Prompt, Task

_LONGEST = 200
"""Bytes of a file's name; file systems take 255."""


def check_file(path: Path, option: str, inputs: Iterable[Path] = ()) -> None:
    """See, before any work is done, that a file can be written there.

    Raises:
        UserError: it cannot, or it is one of the files that are read.
    """
    if path.is_dir():
        raise UserError("is a folder, not a file", where=str(path), hint=f"Give {option} a file")
    if any(path.resolve() == given.resolve() for given in inputs):
        raise UserError("is read by this command", where=str(path), hint=_another(option))
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise UserError("cannot be written", where=str(path), hint=_another(option))


def check_folder(path: Path, option: str) -> None:
    """See, before any work is done, that a folder is new or empty. Raises: UserError."""
    try:
        filled = path.exists() and any(path.iterdir())
    except OSError as error:
        why = f"cannot be used ({error.strerror})"
        raise UserError(why, where=str(path), hint=_another(option)) from None
    if filled:
        raise UserError("the folder is not empty", where=str(path), hint=_another(option))


def write_file(path: Path, lines: Iterable[bytes]) -> None:
    """Write a file that is there whole or as it was; a pipe or device is just written to.

    Raises:
        UserError: it cannot be written.
    """
    with _explained(path):
        if path.exists() and not path.is_file():
            with path.open("wb") as stream:
                stream.writelines(lines)
            return
        target = path.resolve()
        draft = target.with_name(f".nngpt-{os.getpid()}.partial")
        try:
            with draft.open("xb") as stream:
                stream.writelines(lines)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)


def kept_names(outcome: Outcome) -> Iterator[bytes]:
    """A name a line, the best network first."""
    for network in outcome.kept:
        yield f"{network.name}\n".encode("utf-8", "backslashreplace")


def copy_kept(folder: Path, collection: Collection, outcome: Outcome) -> None:
    """Fill a new or empty folder with the kept files: their bytes, in their folders.

    Networks that were no files get their name and `.py`.

    Raises:
        UserError: the folder cannot be written; nothing is left in it then.
    """
    target = folder.resolve()
    new = not target.exists()
    with _explained(folder):
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".nngpt-", dir=target.parent if new else target))
        try:
            filled = scratch / "kept"
            filled.mkdir()
            for path, network in zip(layout(outcome.kept), outcome.kept, strict=True):
                _write_below(filled / path, collection.original(network))
            if new:
                filled.rename(target)
            else:
                for entry in sorted(filled.iterdir()):
                    entry.rename(target / entry.name)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def layout(networks: Sequence[Network]) -> list[PurePosixPath]:
    """A relative path for each network, no two the same and none leading out of the folder."""
    files: set[PurePosixPath] = set()
    folders: set[PurePosixPath] = set()
    paths = []
    for network in networks:
        parts = [_short(p) for p in network.name.split("/") if p not in ("", ".", "..")]
        stem = PurePosixPath(*parts or ["network"])
        if not files.isdisjoint(stem.parents):
            stem = PurePosixPath(_short("-".join(stem.parts)))
        stem = stem.with_name(stem.name.removesuffix(".py") or "network")
        path, number = stem.with_name(f"{stem.name}.py"), 1
        while path in files or path in folders:
            number += 1
            path = stem.with_name(f"{stem.name}~{number}.py")
        files.add(path)
        folders.update(path.parents)
        paths.append(path)
    return paths


def chat_prompt(dataset: str) -> Prompt:
    """What a whole network for a data set is asked with. Raises: PluginError, DataError."""
    from nngpt.config import EvaluationConfig

    source = plugins.create("data set", dataset, None)
    task = Task(source.name, (1, *source.shape), (source.classes,), threshold=0.0)
    return prompts.load("full").render(task, EvaluationConfig().hyperparameters)


def chat_line(network: Network, prompt: Prompt) -> bytes | None:
    """A network as the answer to a prompt; None if it cannot be read back from one."""
    code = network.code.replace("\r\n", "\n").replace("\r", "\n").strip("\n").rstrip()
    text = answers.write(Answer(code, {}))
    read = answers.read(text)
    if not isinstance(read, Answer) or read.code != code:
        return None
    messages = [asdict(message) for message in prompt.messages]
    messages.append({"role": "assistant", "content": text})
    facts = {"name": network.name, "family": network.family, "accuracy": network.accuracy}
    return json.dumps({"messages": messages, **facts}).encode() + b"\n"


def _short(part: str) -> str:
    raw = part.encode("utf-8", "backslashreplace")
    if len(raw) <= _LONGEST:
        return raw.decode()
    mark = hashlib.sha256(raw).hexdigest()[:8]
    return f"{raw[: _LONGEST - 9].decode('utf-8', 'ignore')}-{mark}"


def _write_below(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot be written ({error.strerror})", where=str(path), hint="Nothing was changed"
        ) from None


def _another(option: str) -> str:
    return f"Choose another place with {option}"
