"""Zip files with LightGBM text models and a JSON index, and nothing executable."""

from __future__ import annotations

import io
import json
import lzma
import threading
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import lightgbm
from pydantic import BaseModel, ValidationError

from nngpt import __version__
from nngpt.errors import UserError, explain
from nngpt.files import parse_json, publish, read_bytes, read_member, scratch
from nngpt.prediction.runs import History, data_hash

_DAMAGES = (
    *(OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, KeyError, ValueError, RuntimeError),
    lightgbm.basic.LightGBMError,
)


_DESCRIPTIONS = (
    *("split_gain=", "internal_value=", "internal_weight=", "internal_count="),
    *("leaf_weight=", "leaf_count=", "tree_sizes="),
)
"""Beginnings of lines in LightGBM's text that a prediction does not need: two thirds of it."""

SHIPPED = Path(__file__).with_name("shipped")
"""Folder of the model files that come with nngpt; `scripts/lemur-data` makes them."""


class Index(BaseModel):
    """Index of a model file: at least facts about the training, for a person."""

    card: dict[str, Any]


IndexT = TypeVar("IndexT", bound=Index)


def file_to_use(own: Path) -> Path:
    """Return the user's own model file if it exists, else the one that comes with nngpt."""
    return own if own.exists() else SHIPPED / own.name


@dataclass(frozen=True)
class Format(Generic[IndexT]):
    """Format of a kind of model file: name and contents of its index, a command to train one."""

    kind: str
    command: str
    index_name: str
    version: Mapping[str, Any]
    index: type[IndexT]


def training_facts(history: History) -> dict[str, Any]:
    """Return a model card's first entries: nngpt's version, the data's source and hash."""
    return {
        "nngpt": __version__,
        "lemur": ", ".join(history.sources),
        "data_sha256": data_hash(history),
    }


def write_models(
    path: Path,
    form: Format[Any],
    entries: Mapping[str, Any],
    models: Mapping[str, lightgbm.Booster],
) -> None:
    """Write a model file: named LightGBM models and an index with these entries, atomically.

    The same models give the same bytes: members have no date.
    """
    index = json.dumps({**form.version, **entries})
    texts = {f"{name}.txt": _shortened(trees.model_to_string()) for name, trees in models.items()}
    with scratch(path) as folder:
        draft = folder / path.name
        with zipfile.ZipFile(draft, "w") as file:
            for name, text in (form.index_name, index), *texts.items():
                file.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_LZMA)
        publish(draft, path)


def _shortened(text: str) -> str:
    """Return a model's text without the lines that only describe how its trees were learned."""
    trees = text.partition("\nend of trees")[0].splitlines(keepends=True)
    kept = (line for line in trees if not line.startswith(_DESCRIPTIONS))
    return "".join(kept) + "\nend of trees\n"


class ModelFile(Generic[IndexT]):
    """A file that `write_models` wrote; models are loaded on demand.

    Attributes:
        path: path of the file.
        index: content of the index.

    Raises: UserError if the file is missing, damaged, or of another version.
    """

    def __init__(self, path: Path, form: Format[IndexT]) -> None:
        self.path, self._form = path, form
        self._reading = threading.Lock()
        if not path.exists():
            hint = f"Train one: {form.command}"
            raise UserError(f"there is no {form.kind}", where=str(path), hint=hint)
        # Read all of it now: the file may be replaced while it is in use.
        self._bytes = io.BytesIO(read_bytes(path))
        try:
            with zipfile.ZipFile(self._bytes) as file:
                found = parse_json(read_member(file, form.index_name))
            found = found if isinstance(found, dict) else {}
            if any(found.get(key) != value for key, value in form.version.items()):
                hint = f"Train it again: {form.command}"
                raise UserError(f"is a {form.kind} of another version", where=str(path), hint=hint)
            self.index = form.index.model_validate(found)
        except ValidationError as error:
            raise self._damaged(explain(error, None)) from None
        except _DAMAGES as error:
            raise self._damaged(error) from None

    @property
    def origin(self) -> str:
        """Which model file it is: own or packaged, and which LEMUR it was trained on."""
        packaged = self.path.parent == SHIPPED
        whose = f"packaged {self._form.kind}" if packaged else f"own {self._form.kind} {self.path}"
        return f"{whose} ({self.index.card.get('lemur') or 'LEMUR of unknown version'})"

    def require(self, names: Iterable[str]) -> None:
        """Check that the file has these models. Raises: UserError."""
        with zipfile.ZipFile(self._bytes) as file:
            missing = {f"{name}.txt" for name in names} - set(file.namelist())
        if missing:
            raise self._damaged(f"lacks {min(missing)}")

    def models(self, names: Iterable[str]) -> list[lightgbm.Booster]:
        """Load models by their names. Raises: UserError if the file is damaged."""
        try:
            with self._reading, zipfile.ZipFile(self._bytes) as file:
                texts = [read_member(file, f"{name}.txt").decode() for name in names]
            return [lightgbm.Booster(model_str=text) for text in texts]
        except _DAMAGES as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception | str) -> UserError:
        what = f"is not a {self._form.kind}, or is damaged ({error})"
        return UserError(what, where=str(self.path), hint=f"Train it again: {self._form.command}")
