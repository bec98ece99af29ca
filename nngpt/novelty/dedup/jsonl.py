"""Read the networks of a JSONL file to deduplicate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nngpt.errors import UserError
from nngpt.generation.contract import answers
from nngpt.novelty.dedup.collection import FoundNetwork, SkippedItem
from nngpt.records import Refusal
from nngpt.store.lemur.mirror import family

SUFFIXES = (".jsonl", ".ndjson")
_NETWORKS, _ANY_CODE = ("code", "nn_code"), ("text", "content")
_FIELDS = (*_NETWORKS, "completion", "messages", *_ANY_CODE)


def read_lines(path: Path, key: str | None = None) -> tuple[list[FoundNetwork], list[SkippedItem]]:
    """Read the networks of a JSONL file, skipping and reporting broken lines.

    The code is in the field `key`. Without one, it is in `code` or `nn_code`, in the LLM's answer
    in `completion` or the last assistant turn of `messages`, or it is any code in `text` or
    `content`. `name`, `family` and `accuracy` are optional.

    Raises: UserError if the file cannot be read.
    """
    found: list[FoundNetwork] = []
    skipped: list[SkippedItem] = []
    parts = path.resolve().parts[1:]
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                where = f"{path}:{number}"
                try:
                    record = json.loads(line.strip().decode("utf-8-sig"))
                    found.append(_network(record, parts, number, where, key))
                except (ValueError, RecursionError) as error:
                    skipped.append(SkippedItem(where, _reason(error)))
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(path)) from None
    return found, skipped


def _network(
    record: Any, parts: tuple[str, ...], number: int, where: str, key: str | None
) -> FoundNetwork:
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    code, any_code = _code(record, key)
    if not code.strip():
        raise ValueError("its code is empty")
    place = (*parts[:-1], f"{parts[-1]}:{number}")
    name, group = _text(record, "name"), _text(record, "family")
    origin = family(name.removesuffix(".py")) if name else Path(parts[-1]).stem
    return FoundNetwork(
        parts=(*place, name) if name else place,
        short=1,
        code=code,
        family=group or origin,
        accuracy=_accuracy(record.get("accuracy")),
        source=where,
        any_code=any_code,
    )


def _code(record: dict[str, Any], key: str | None) -> tuple[str, bool]:
    """Return a record's code, and True if its field may hold any code, not only networks."""
    for name in [key] if key else _NETWORKS:
        if record.get(name) is not None:
            return _must_be_text(record[name], name), bool(key)
    if key:
        raise ValueError(f"no {key!r}")
    if record.get("completion") is not None:
        return _answer(_must_be_text(record["completion"], "completion")), False
    if record.get("messages") is not None:
        return _answer(_last_answer(record["messages"])), False
    for name in _ANY_CODE:
        if record.get(name) is not None:
            return _must_be_text(record[name], name), True
    raise ValueError(f"no code in {', '.join(_FIELDS)} (see --key)")


def _last_answer(messages: Any) -> str:
    turns = messages if isinstance(messages, list) else []
    said = [m for m in turns if isinstance(m, dict) and m.get("role") == "assistant"]
    if not said:
        raise ValueError("messages has no assistant turn")
    return _must_be_text(said[-1].get("content"), "the assistant turn")


def _answer(text: str) -> str:
    """Return the code of an LLM's answer; an answer without fences and tags is all code."""
    if "```" not in text and "<nn>" not in text:
        return text
    answer = answers.read(text)
    if isinstance(answer, Refusal):
        raise ValueError(answer.reason)
    return answer.code


def _must_be_text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} is not text")
    return value.replace("\r\n", "\n").replace("\r", "\n")


def _text(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    return "" if value is None else _must_be_text(value, key).strip()


def _accuracy(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"accuracy {str(value)[:20]} is not a number from 0 to 1")
    return float(value)


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg}, column {error.colno})"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
