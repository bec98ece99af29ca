"""Read and write the text of an answer: code blocks, hyperparameters, transform; their schema.

There are two styles: Markdown fences (```` ```python ```` and then perhaps ```` ```json ````) and
nn-gpt's tags (`<nn>code</nn>`, `<hp>{json}</hp>`, `<tr>transform</tr>`). `write` gives the
canonical text of an `Answer` in its style; reading that text gives the same answer.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from nngpt.data import transform_names
from nngpt.files import parse_json
from nngpt.generation.contract.interface import read_supported
from nngpt.records import Refusal, Stage

_LANGUAGES = frozenset({"", "python", "python3", "py", "pytorch"})
PROTOCOL = frozenset({"batch", "epoch", "transform"})
"""Names that a network may support although the protocol sets their values."""

_NET = re.compile(r"^class\s+Net\b", re.MULTILINE)
_Model = TypeVar("_Model", bound=BaseModel)

CUT_OFF = Refusal(
    Stage.PARSE,
    "the answer is cut off: its code never ends",
    "The token limit was reached (sampling.max_new_tokens) or the model stopped early.",
)
_OTHER = {"type": "number", "minimum": 0, "maximum": 1000}
"""Range of hyperparameters for which LEMUR has none."""


class Hyperparameters(BaseModel):
    """The hyperparameters in an answer: LEMUR's within its ranges, others any finite number.

    `epoch` and `transform` are allowed because LEMUR writes them here; the protocol sets the
    number of epochs, so `epoch` is dropped.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")
    __pydantic_extra__: dict[str, FiniteFloat] = Field(init=False)

    lr: Annotated[float, Field(ge=1e-5, le=1)] | None = None
    momentum: Annotated[float, Field(ge=0, le=1)] | None = None
    dropout: Annotated[float, Field(ge=0, le=0.5)] | None = None
    batch: Annotated[int, Field(ge=1, le=4096)] | None = None
    epoch: Annotated[int, Field(ge=1)] | None = Field(default=None, exclude=True)
    transform: str | None = None

    def values(self) -> dict[str, float]:
        """Return the given values by name, without `batch` and `transform`."""
        given = self.model_dump(exclude_none=True, exclude={"batch", "transform"})
        return {name: float(given[name]) for name in sorted(given)}


class Settings(BaseModel):
    """The JSON block after the code of an answer."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    hyperparameters: Hyperparameters = Hyperparameters()
    transform: str | None = None


@dataclass(frozen=True)
class Answer:
    """The parts of an answer.

    Attributes:
        code: Python source, without fences and without blank lines around it.
        hyperparameters: the given values by name; {} if none.
        batch: batch size, None if not given.
        transform: transform name or source, None if not given.
        style: whether the answer uses Markdown fences or nn-gpt's tags.
    """

    code: str
    hyperparameters: Mapping[str, float]
    batch: int | None = None
    transform: str | None = None
    style: Literal["fences", "tags"] = "fences"


def read(text: str, fixed: bool = False) -> Answer | Refusal:
    """Read a whole answer (prefill and completion): code and settings, or a refusal.

    Args:
        fixed: whether the settings are passed over, right or wrong (`evaluation.fixed`).
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text[len(_thoughts(text)) :]
    tagged = "<nn>" in text.partition("```")[0]
    return _read_tags(text, fixed) if tagged else _read_fences(text, fixed)


def write(answer: Answer) -> str:
    """Return the canonical text of an answer."""
    settings = _settings(answer)
    if answer.style == "tags":
        return _write_tags(answer.code, settings)
    inside = [length for length, word in map(_fence, answer.code.split("\n")) if not word]
    fence = "`" * max([3, *(length + 1 for length in inside)])
    return f"{fence}python\n{answer.code}\n{fence}{_settings_block(settings)}"


def write_diff(diff: str, answer: Answer) -> str:
    """Write the text of an answer that gives its code as a diff."""
    return f"```diff\n{diff}\n```{_settings_block(_settings(answer))}"


def code_block(text: str) -> Block | None:
    """Find the block of an answer that holds the network; its `end` is a position in `text`."""
    thoughts = _thoughts(text)
    block = _code_block(blocks(text[len(thoughts) :]))
    return block and replace(block, end=block.end + len(thoughts))


def _read_fences(text: str, fixed: bool) -> Answer | Refusal:
    """Read an answer written with Markdown fences."""
    found = blocks(text)
    code = _code_block(found)
    if code is None:
        return Refusal(Stage.PARSE, "the answer has no code block", opening(text))
    if not code.closed:
        return CUT_OFF
    settings = Settings() if fixed else read_settings(found)
    return settings if isinstance(settings, Refusal) else with_settings(code.text, settings)


def read_settings(found: Sequence[Block]) -> Settings | Refusal:
    """Read an answer's settings in its first JSON block; empty settings if there is none."""
    block = next((block for block in found if block.language == "json"), None)
    return Settings() if block is None else _read_json(block.text, Settings)


def gives_settings(text: str) -> bool:
    """Return whether an answer of any mode has a block of settings, readable or not."""
    if "<nn>" in text.partition("```")[0]:
        return any((_between(text, tag) or "").strip() for tag in ("hp", "tr"))
    return any(block.language == "json" for block in blocks(text[len(_thoughts(text)) :]))


def given_hyperparameters(text: str) -> frozenset[str]:
    """Return the names of the hyperparameters to which an answer of any mode gives a value."""
    found = read(text)
    if isinstance(found, Refusal):  # a diff, or a part of a file
        settings = read_settings(blocks(text))
        found = settings if isinstance(settings, Refusal) else with_settings(text, settings)
    return frozenset(() if isinstance(found, Refusal) else found.hyperparameters)


def with_settings(code: str, settings: Settings) -> Answer | Refusal:
    """Return the answer with this code and these settings, or a refusal of empty code."""
    return _answer(code, settings.hyperparameters, settings.transform, "fences")


def _code_block(found: Sequence[Block]) -> Block | None:
    """Return the first block that defines class Net, else the first Python block."""
    sources = [block for block in found if block.language in _LANGUAGES]
    return next((block for block in sources if _NET.search(block.text)), next(iter(sources), None))


def _thoughts(text: str) -> str:
    """Return the `<think>` section at the beginning of an answer, "" if there is none."""
    if not text.lstrip().startswith("<think>"):
        return ""
    before, end, _ = text.partition("</think>")
    return before + end


def _read_tags(text: str, fixed: bool) -> Answer | Refusal:
    """Read an answer written with nn-gpt's tags."""
    if "</nn>" not in text:
        return CUT_OFF
    code = _between(text, "nn") or ""
    inner = [block for block in blocks(code) if block.language in _LANGUAGES]
    hyperparameters = Hyperparameters()
    given = "" if fixed else _between(text, "hp")
    if given and given.strip():
        found = _read_json(given, Hyperparameters)
        if isinstance(found, Refusal):
            return found
        hyperparameters = found
    transform = None if fixed else (_between(text, "tr") or "").strip() or None
    return _answer(inner[0].text if inner else code, hyperparameters, transform, "tags")


def _answer(
    code: str, given: Hyperparameters, transform: str | None, style: Literal["fences", "tags"]
) -> Answer | Refusal:
    """Return the answer, or a refusal of empty code."""
    code = code.strip("\n").rstrip()
    if not code.strip():
        return Refusal(Stage.PARSE, "the code block is empty")
    return Answer(code, given.values(), given.batch, transform or given.transform, style)


@dataclass(frozen=True)
class Block:
    """A fenced block of an answer.

    Attributes:
        language: first word after the opening fence, in lower case.
        text: the lines between the fences.
        closed: False if the text ends before a closing fence.
        end: number of characters before the end of the block, closing fence included.
    """

    language: str
    text: str
    closed: bool
    end: int


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of an answer; a block ends at a bare fence at least as long."""
    found: list[Block] = []
    opened, language, lines, end = 0, "", list[str](), -1
    for line in text.split("\n"):
        end += len(line) + 1
        length, word = _fence(line)
        if opened and length >= opened and not word:
            found.append(Block(language, "\n".join(lines), True, end))
            opened = 0
        elif opened:
            lines.append(line)
        elif length:
            opened, language, lines = length, word.lower(), []
    if opened:
        found.append(Block(language, "\n".join(lines), False, end))
    return found


def _fence(line: str) -> tuple[int, str]:
    """Return the number of backticks and the word after them; (0, "") if the line is no fence."""
    text = line.lstrip(" ")
    rest = text.lstrip("`")
    length = len(text) - len(rest)
    if length < 3 or "`" in rest or len(line) - len(text) > 3:
        return 0, ""
    return length, (rest.split(maxsplit=1) or [""])[0]


def _between(text: str, tag: str) -> str | None:
    """Return the text inside the first `<tag>…</tag>`, None if there is none."""
    start, end = text.find(f"<{tag}>"), text.find(f"</{tag}>")
    return text[start + len(tag) + 2 : end] if 0 <= start < end else None


def _read_json(text: str, model: type[_Model]) -> _Model | Refusal:
    """Validate JSON by a Pydantic model, or return a refusal with the first mistake."""
    try:
        return model.model_validate(json.loads(text))
    except ValidationError as error:
        return Refusal(Stage.CONTRACT, _first(error), f"{error.error_count()} mistakes")
    except (ValueError, OverflowError) as error:
        return Refusal(Stage.PARSE, "the hyperparameters are not valid JSON", str(error))


def _first(error: ValidationError) -> str:
    """Describe the first mistake that Pydantic found."""
    item = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in item["loc"]) or "settings"
    if item["type"] == "extra_forbidden":
        return f"unknown key {path!r} in the settings"
    text = f"{path}: {item['msg']} (got {str(item['input'])[:40]})"
    return text.encode("utf-8", "backslashreplace").decode()


def _settings(answer: Answer) -> dict[str, object]:
    """Return the content of the JSON block; {} if the answer gives no settings."""
    values: dict[str, object] = dict(answer.hyperparameters)
    if answer.batch is not None:
        values["batch"] = answer.batch
    settings: dict[str, object] = {"hyperparameters": values} if values else {}
    if answer.transform is not None:
        settings["transform"] = answer.transform
    return settings


def _settings_block(settings: dict[str, object]) -> str:
    """Return the fenced JSON block, "" for no settings."""
    return f"\n\n```json\n{json.dumps(settings, sort_keys=True)}\n```" if settings else ""


def _write_tags(code: str, settings: dict[str, object]) -> str:
    """Write an answer with nn-gpt's tags."""
    text = f"<nn>\n{code}\n</nn>"
    if "hyperparameters" in settings:
        text += f"\n<hp>{json.dumps(settings['hyperparameters'], sort_keys=True)}</hp>"
    if "transform" in settings:
        text += f"\n<tr>{settings['transform']}</tr>"
    return text


def opening(text: str) -> str:
    """Quote the beginning of an answer, for the detail of a refusal."""
    return f"It begins: {' '.join(text.split())[:80]!r}" if text.strip() else "It is empty."


def settings_after(text: str) -> tuple[str, dict[str, Any]] | None:
    """Find where an answer's settings begin in `full` mode, and the JSON schema that fits its code.

    Returns:
        The answer up to the end of its code block, and `settings_schema` of that code; None if the
        block is not closed or its hyperparameters cannot be read (the answer is refused anyway).
    """
    code = code_block(text)
    if code is None or not code.closed:
        return None
    try:
        supported = read_supported(ast.parse(code.text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not isinstance(supported, frozenset) or not all(map(str.isidentifier, supported)):
        return None
    return text[: code.end], settings_schema(supported)


def settings_schema(supported: frozenset[str]) -> dict[str, Any]:
    """Return the JSON schema of `Settings` for code that supports these hyperparameters.

    Each of them needs a value within LEMUR's range, no other may have one; batch size and
    transform are optional.
    """
    ranges = Hyperparameters.model_json_schema()["properties"]
    names = sorted(supported - PROTOCOL)
    values = {name: _range(ranges[name]) if name in ranges else _OTHER for name in names}
    hyperparameters = {
        "type": "object",
        "properties": {**values, "batch": _range(ranges["batch"])},
        "required": names,
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {
            "hyperparameters": hyperparameters,
            "transform": {"enum": transform_names.names()},
        },
        "required": ["hyperparameters"],
        "additionalProperties": False,
    }


def fits_schema(text: str, schema: Mapping[str, Any]) -> bool:
    """Return True if the text of an answer's settings block fits a `settings_schema`."""
    try:
        found = parse_json(text)
        settings = Settings.model_validate(found)
    except (ValueError, ValidationError):
        return False
    allowed = schema["properties"]["hyperparameters"]
    given = set(found.get("hyperparameters", {}))
    named = settings.transform in (None, *schema["properties"]["transform"]["enum"])
    return named and set(allowed["required"]) <= given <= set(allowed["properties"])


def _range(field: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an optional field of `Hyperparameters`, reduced to type and range."""
    kind = next(kind for kind in field["anyOf"] if kind["type"] != "null")
    return {key: kind[key] for key in ("type", "minimum", "maximum")}
