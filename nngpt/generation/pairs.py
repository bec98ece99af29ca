"""Training pairs: a prompt and the completion that the LLM should write for it.

Pairs come from a run's admitted attempts or from the lines of a JSONL file (a corpus).
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from nngpt.config import corpus_file
from nngpt.errors import ConfigError
from nngpt.files import open_to_read
from nngpt.records import MeasuredAnswer, Message, Prompt, Stage, TrainingPair, canonical_json

if TYPE_CHECKING:
    from nngpt.store import AttemptRecord, Store


_LONGEST_LINE = 16 << 20


@dataclass(frozen=True)
class RatedPair:
    """A pair of a corpus whose network has been trained.

    Attributes:
        pair: the pair.
        accuracy: accuracy of its network, 0…1.
        dataset: data set on which it was measured, "" if unknown.
        family: family of its network, "" if unknown.
    """

    pair: TrainingPair
    accuracy: float
    dataset: str
    family: str = ""


def admitted_pairs(store: Store, attempts: Iterable[AttemptRecord]) -> list[TrainingPair]:
    """Return a training pair per admitted attempt: original prompt and canonical answer."""
    return [
        TrainingPair(store.question(a), a.candidate.written, f"attempt {a.id}")
        for a in attempts
        if a.candidate is not None
    ]


def pair_as_written(store: Store, attempt: AttemptRecord) -> TrainingPair:
    """Return an attempt's original prompt and raw text as a training pair."""
    prompt, completion = store.question(attempt), attempt.completion
    return TrainingPair(prompt, completion.text, f"attempt {attempt.id}", completion.finished)


def measured_answers(store: Store, attempts: Iterable[AttemptRecord]) -> list[MeasuredAnswer]:
    """Return the answers of settled attempts with what they achieved, exact duplicates excluded."""
    return [
        MeasuredAnswer(
            pair_as_written(store, a),
            a.cycle,
            a.content_hash is not None,
            a.result.accuracy if a.result else None,
        )
        for a in attempts
        if a.settled and not (a.refusal and a.refusal.stage is Stage.DUPLICATE)
    ]


def corpus_pairs(
    path: Path, prompt: Prompt, limit: int | None = None, where: str = "learning.corpus"
) -> list[TrainingPair]:
    """Read the first `limit` training pairs of a corpus, a JSONL file; None reads all.

    A line with `messages` has its own prompt (`nngpt corpus build` writes such lines; in plain chat
    lines the assistant's last message is the completion). A line with a `completion` only is paired
    with `prompt`. Other keys are ignored.

    Raises: ConfigError if the file cannot be read, a line is not such an object, or a line is
    meant for another mode than `prompt`; names the line, and `where`, the key or option.
    """
    where = f"{where}: {path}"
    with _open(path, where) as stream:
        lines = islice(_parse(stream, where, prompt), limit)
        return [line.pair(prompt, path.name) for line in lines]


def corpus_size(path: Path | None, limit: int | None = None) -> int:
    """Count the pairs of prompt and answer in a file, at most `limit`; 0 without a file.

    Raises: ConfigError if the file cannot be read.
    """
    if path is None:
        return 0
    with _open(path, f"learning.corpus: {path}") as stream:
        count = sum(bool(raw.strip()) for raw in stream)
    return count if limit is None else min(count, limit)


def chat_pairs(path: Path, where: str) -> list[TrainingPair]:
    """Read all training pairs of a JSONL file whose lines have their own prompts, in any mode.

    Args:
        where: the option that named the file, for messages.

    Raises: ConfigError if the file cannot be read, or a line is not such an object; names the line.
    """
    with _open(path, f"{where} {path}") as stream:
        return [line.pair(None, path.name) for line in _parse(stream, f"{where} {path}", None)]


def rated_pairs(path: Path, prompt: Prompt, where: str) -> list[RatedPair]:
    """Read the pairs of prompt and answer that carry an accuracy; see `corpus_pairs`.

    Raises:
        ConfigError: as `corpus_pairs`; `where` names the key.
    """
    with _open(path, f"{where}: {path}") as stream:
        return [
            RatedPair(
                line.pair(prompt, path.name),
                line.accuracy,
                line.accuracy_on or "",
                line.family or "",
            )
            for line in _parse(stream, f"{where}: {path}", prompt)
            if line.accuracy is not None
        ]


def prompt_keys(prompt: Prompt) -> dict[str, Any]:
    """Return the keys for the prompt in a line of a corpus."""
    parent = {"parent": prompt.parent} if prompt.parent else {}
    return {
        "messages": [{"role": m.role, "content": m.content} for m in prompt.messages],
        "prefill": prompt.prefill,
        "stop": list(prompt.stop),
        "mode": prompt.mode,
        "template": prompt.template,
        "template_hash": prompt.template_hash,
        **parent,
    }


def corpus_hash(pairs: Sequence[TrainingPair]) -> str:
    """Return the SHA-256 of training pairs in their order, part of an adapter's lineage."""
    digest = hashlib.sha256()
    for pair in pairs:
        values = asdict(pair)
        for newer in ("parent", "blocks"):  # keeps hashes from before these fields existed
            if not values["prompt"][newer]:
                del values["prompt"][newer]
        for newer, before in (("finished", True), ("rival", ""), ("advantage", 0.0)):
            if values[newer] == before:
                del values[newer]
        digest.update(canonical_json(values).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


class _Message(BaseModel):
    """A chat message of a corpus line."""

    model_config = ConfigDict(frozen=True, strict=True)

    role: Literal["system", "user", "assistant"]
    content: str


class _Line(BaseModel):
    """A line of a corpus; other keys, such as a network's origin, are ignored."""

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
    family: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> _Line:
        """Check that the line has an answer and, with messages, a question."""
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
        """Return the pair, with the line's own prompt if it has one, else with `prompt`."""
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
        assert prompt is not None, "_parse refuses lines without a prompt"
        return TrainingPair(prompt, self.completion or self.answered, self.source or source)


def _parse(stream: BinaryIO, file: str, prompt: Prompt | None) -> Iterator[_Line]:
    """Yield the lines of a corpus, checked. Raises: ConfigError: none, or a wrong one, named."""
    empty = True
    for number, raw in enumerate(iter(lambda: stream.readline(_LONGEST_LINE + 1), b""), 1):
        where = f"{file}, line {number}"
        if len(raw) > _LONGEST_LINE:
            raise ConfigError(f"longer than {_LONGEST_LINE >> 20} MiB", where=where)
        if not raw.strip():
            continue
        empty = False
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
    if empty:
        raise ConfigError("holds no training pair", where=file)


@contextmanager
def _open(given: Path, where: str) -> Iterator[BinaryIO]:
    """Open a corpus file, compressed or not. Raises: ConfigError if it cannot be read."""
    path = corpus_file(given)
    try:
        with open_to_read(path) as file:
            yield cast(BinaryIO, gzip.GzipFile(fileobj=file)) if path.suffix == ".gz" else file
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot be read ({why})", where=where) from None


def _first(error: ValidationError) -> str:
    """Describe the first mistake that Pydantic found in a line."""
    item = error.errors(include_url=False, include_input=False)[0]
    if item["type"] == "json_invalid":
        return f"not a line of JSON ({item['msg'].removeprefix('Invalid JSON: ')})"
    key = ".".join(str(part) for part in item["loc"])
    message = item["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message
