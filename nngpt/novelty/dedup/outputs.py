"""Write the kept networks as a list of names, a folder of files, or chat pairs.

Each output is complete or unchanged.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from nngpt import plugins
from nngpt.errors import UserError
from nngpt.files import check_new, write_errors, write_file
from nngpt.generation.contract import answers
from nngpt.generation.contract.answers import Answer
from nngpt.generation.prompts import template as prompts
from nngpt.novelty.dedup.collection import Collection, DedupOutcome, Network
from nngpt.records import Prompt, Task

_LONGEST = 200
"""Maximum bytes of a file name; file systems allow 255."""


STDOUT = Path("-")


@dataclass(frozen=True)
class OutputPaths:
    """Where to write the results of a deduplication; None for unwanted outputs.

    Attributes:
        names: list of the kept names; "-" is standard output.
        copies: folder for the kept files.
        chat: JSONL file with chat pairs.
        report: HTML file.
    """

    names: Path | None
    copies: Path | None
    chat: Path | None
    report: Path | None

    @property
    def any(self) -> bool:
        """True if at least one output was requested."""
        return any((self.names, self.copies, self.chat, self.report))

    @property
    def prints_names(self) -> bool:
        """True if the kept names go to standard output."""
        return self.names == STDOUT

    def check(self, inputs: Iterable[Path]) -> None:
        """Check that all outputs can be written, before any work. Raises: UserError."""
        files = {"--list": self.names, "--jsonl": self.chat, "--report": self.report}
        for option, path in files.items():
            if path is not None and path != STDOUT:
                check_file(path, option, inputs)
        if self.copies is not None:
            check_new(self.copies, _hint("--copy-to"))


def write_outputs(
    paths: OutputPaths,
    collection: Collection,
    outcome: DedupOutcome,
    prompt: Prompt | None,
    page: str,
) -> Iterator[str]:
    """Write the wanted files of a deduplication; yield one line of text for each.

    Args:
        prompt: the prompt of the chat pairs, if they are requested.
        page: the HTML report, if it is requested.

    Raises: UserError if a file cannot be written.
    """
    kept = len(outcome.kept)
    if paths.names is not None and not paths.prints_names:
        write_file(paths.names, kept_names(outcome))
        yield f"{paths.names}: {_counted(kept, 'name')}"
    if paths.copies is not None:
        copy_kept(paths.copies, collection, outcome)
        yield f"{paths.copies}: {_counted(kept, 'file')}"
    if paths.chat is not None and prompt is not None:
        lines = [line for network in outcome.kept if (line := chat_line(network, prompt))]
        write_file(paths.chat, lines)
        lost = kept - len(lines)
        more = f" ({lost:,} cannot be written as an answer)" if lost else ""
        yield f"{paths.chat}: {_counted(len(lines), 'chat pair')}{more}"
    if paths.report is not None:
        write_file(paths.report, [page.encode()])
        yield f"{paths.report}: report"


def check_file(path: Path, option: str, inputs: Iterable[Path] = ()) -> None:
    """Check before a deduplication that an output file can be written.

    Raises: UserError if the file cannot be written, or is one of the inputs.
    """
    if path.is_dir():
        raise UserError("is a folder, not a file", where=str(path), hint=f"Give {option} a file")
    if any(path.resolve() == given.resolve() for given in inputs):
        raise UserError("is read by this command", where=str(path), hint=_hint(option))
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise UserError("cannot be written", where=str(path), hint=_hint(option))


def kept_names(outcome: DedupOutcome) -> Iterator[bytes]:
    """Yield the names of the kept networks as lines, best first."""
    for network in outcome.kept:
        yield f"{network.name}\n".encode("utf-8", "backslashreplace")


def copy_kept(folder: Path, collection: Collection, outcome: DedupOutcome) -> None:
    """Output the kept networks' files, with their folders, to a new or empty folder.

    Networks that were not files get their name and `.py`.

    Raises: UserError if the folder cannot be written; it is left empty then.
    """
    target = folder.resolve()
    new = not target.exists()
    with write_errors(folder):
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".nngpt-", dir=target.parent if new else target))
        try:
            filled = scratch / "kept"
            filled.mkdir()
            for path, network in zip(file_paths(outcome.kept), outcome.kept, strict=True):
                _write_below(filled / path, collection.original(network))
            if new:
                filled.rename(target)
            else:
                for entry in sorted(filled.iterdir()):
                    entry.rename(target / entry.name)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def file_paths(networks: Sequence[Network]) -> list[PurePosixPath]:
    """Return a distinct output path for each kept network, none out of the folder."""
    files: set[PurePosixPath] = set()
    folders: set[PurePosixPath] = set()
    paths = []
    for network in networks:
        parts = [_shorten(p) for p in network.name.split("/") if p not in ("", ".", "..")]
        stem = PurePosixPath(*parts or ["network"])
        if not files.isdisjoint(stem.parents):
            stem = PurePosixPath(_shorten("-".join(stem.parts)))
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
    """Return the prompt of dedup's chat output: a whole network. Raises: PluginError, DataError."""
    from nngpt.config import EvaluationConfig

    source = plugins.create("data set", dataset, None)
    task = Task(source.name, (1, *source.shape), (source.classes,), threshold=0.0)
    return prompts.load("full").render(task, EvaluationConfig().hyperparameters)


def chat_line(network: Network, prompt: Prompt) -> bytes | None:
    """Return a line of the output `--jsonl`: a kept network as a chat pair; None if unreadable."""
    code = network.code.replace("\r\n", "\n").replace("\r", "\n").strip("\n").rstrip()
    text = answers.write(Answer(code, {}))
    read = answers.read(text)
    if not isinstance(read, Answer) or read.code != code:
        return None
    messages = [asdict(message) for message in prompt.messages]
    messages.append({"role": "assistant", "content": text})
    facts = {"name": network.name, "family": network.family, "accuracy": network.accuracy}
    return json.dumps({"messages": messages, **facts}).encode() + b"\n"


def _shorten(part: str) -> str:
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


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _hint(option: str) -> str:
    return f"Choose another path with {option}"
