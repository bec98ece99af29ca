"""Training pairs: prompts and the completions that were admitted for them."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal, cast

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from nngpt.config import corpus_file
from nngpt.errors import ConfigError
from nngpt.records import Message, Prompt, TrainingPair, canonical_json
from nngpt.store import AttemptRecord, Store


def admitted_pairs(store: Store, attempts: Iterable[AttemptRecord]) -> list[TrainingPair]:
    """One pair per admitted attempt: the question and what was written, as if at once."""
    return [
        TrainingPair(store.question(a), a.candidate.written, f"attempt {a.id}")
        for a in attempts
        if a.candidate is not None
    ]


def corpus_pairs(path: Path, prompt: Prompt, limit: int | None = None) -> list[TrainingPair]:
    """The first `limit` pairs of a JSONL file, or all.

    A line with `messages` brings its own prompt (`nngpt corpus build` writes such lines; of plain
    chat lines the assistant's last message is the completion); one with only a `completion` is
    paired with `prompt`. Other keys are left alone.

    Raises:
        ConfigError: the file cannot be read, a line is not such an object, or it is meant for
            another mode than `prompt`; names the line.
    """
    try:
        with _open(path) as stream:
            lines = islice(_lines(stream, f"learning.corpus: {path}", prompt), limit)
            return [line.pair(prompt, path.name) for line in lines]
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
        raise ConfigError(why, where=f"learning.corpus: {path}") from None


def corpus_size(path: Path | None, limit: int | None = None) -> int:
    """How many pairs a JSONL file gives, at most `limit`; none without a file.

    Raises:
        ConfigError: the file cannot be read.
    """
    if path is None:
        return 0
    try:
        with _open(path) as stream:
            count = sum(bool(raw.strip()) for raw in stream)
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
        raise ConfigError(why, where=f"learning.corpus: {path}") from None
    return count if limit is None else min(count, limit)


def chat_pairs(path: Path, where: str) -> list[TrainingPair]:
    """All pairs of a JSONL file whose lines bring their own prompts, in any mode.

    Args:
        where: what the user gave the file as, for messages.

    Raises:
        ConfigError: the file cannot be read, or a line is not such an object; names the line.
    """
    try:
        with _open(path) as stream:
            return [line.pair(None, path.name) for line in _lines(stream, f"{where} {path}", None)]
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=f"{where} {path}") from None


@dataclass(frozen=True)
class RatedPair:
    """A pair of a corpus whose network has been trained: accuracy (0…1), and on which data set."""

    pair: TrainingPair
    accuracy: float
    dataset: str


def rated_pairs(path: Path, prompt: Prompt, where: str) -> list[RatedPair]:
    """The pairs of a JSONL file that carry their network's accuracy; see `corpus_pairs`.

    Raises:
        ConfigError: as `corpus_pairs`; `where` names the key.
    """
    try:
        with _open(path) as stream:
            lines = list(_lines(stream, f"{where}: {path}", prompt))
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=f"{where}: {path}") from None
    return [
        RatedPair(line.pair(prompt, path.name), line.accuracy, line.accuracy_on or "")
        for line in lines
        if line.accuracy is not None
    ]


def corpus_hash(pairs: Sequence[TrainingPair]) -> str:
    """sha256 over the pairs in their order; part of an adapter's lineage."""
    digest = hashlib.sha256()
    for pair in pairs:
        values = asdict(pair)
        for younger in ("parent", "blocks"):  # hashes that are older than these fields must stay
            if not values["prompt"][younger]:
                del values["prompt"][younger]
        digest.update(canonical_json(values).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    role: Literal["system", "user", "assistant"]
    content: str


class _Line(BaseModel):
    """A line of a corpus; keys that are not named here say where it came from."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    completion: str = ""
    source: str | None = None
    messages: tuple[_Message, ...] | None = None
    prefill: str = ""
    stop: tuple[str, ...] = ()
    mode: str | None = None
    template: str = "corpus"
    template_hash: str = ""
    parent: str = ""
    accuracy: float | None = None
    accuracy_on: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> _Line:
        if not (self.completion or self.answered):
            raise ValueError("it has no 'completion', and no 'messages' that end with an answer")
        if self.messages is not None and len(self.messages) == bool(self.answered):
            raise ValueError("'messages' ask nothing")
        return self

    @property
    def answered(self) -> str:
        """The answer with which the messages end, "" if they end with a question."""
        last = self.messages[-1] if self.messages else None
        return last.content if last and last.role == "assistant" else ""

    def pair(self, prompt: Prompt | None, source: str) -> TrainingPair:
        """The pair, with the line's own prompt if it has one; `prompt` is for those without."""
        if self.messages is not None:
            asked = self.messages[:-1] if self.answered else self.messages
            prompt = Prompt(
                template=self.template,
                template_hash=self.template_hash,
                mode=self.mode or (prompt.mode if prompt else "full"),
                messages=tuple(Message(m.role, m.content) for m in asked),
                prefill=self.prefill,
                stop=self.stop,
                parent=self.parent,
            )
        assert prompt is not None, "_read looks first"
        return TrainingPair(prompt, self.completion or self.answered, self.source or source)


def _lines(lines: Iterable[bytes], file: str, prompt: Prompt | None) -> Iterator[_Line]:
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        where = f"{file}, line {number}"
        try:
            line = _Line.model_validate_json(raw)
        except ValidationError as error:
            raise ConfigError(_first(error), where=where) from None
        if prompt is None and line.messages is None:
            raise ConfigError("it has no 'messages'", where=where)
        if prompt is not None and (line.mode or prompt.mode) != prompt.mode:
            raise ConfigError(
                f"written in {line.mode} mode, but this run writes in {prompt.mode} mode",
                where=where,
                hint=f"Build one with: nngpt corpus build --prompt {prompt.template}",
            )
        yield line


def _open(given: Path) -> BinaryIO:
    path = corpus_file(given)
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _first(error: ValidationError) -> str:
    item = error.errors(include_url=False, include_input=False)[0]
    if item["type"] == "json_invalid":
        return f"not a line of JSON ({item['msg'].removeprefix('Invalid JSON: ')})"
    key = ".".join(str(part) for part in item["loc"])
    message = item["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message
