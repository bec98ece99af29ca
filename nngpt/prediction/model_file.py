"""Zip files with LightGBM text models and a JSON index, and nothing executable."""

from __future__ import annotations

import io
import json
import threading
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import lightgbm
from pydantic import BaseModel, ValidationError

from nngpt import __version__
from nngpt.errors import UserError, explain
from nngpt.files import parse_json, publish, read_bytes, read_member, scratch
from nngpt.prediction.runs import History, data_hash

_DAMAGES = (
    *(OSError, zipfile.BadZipFile, zlib.error, KeyError, ValueError, RuntimeError),
    lightgbm.basic.LightGBMError,
)


IndexT = TypeVar("IndexT", bound=BaseModel)


@dataclass(frozen=True)
class Format(Generic[IndexT]):
    """Format of a kind of model file: name and contents of its index, a command to train one."""

    kind: str
    command: str
    index_name: str
    version: Mapping[str, Any]
    index: type[IndexT]


def training_facts(history: History) -> dict[str, Any]:
    """Return a model card's first entries: nngpt's version, date, hash of the training data."""
    return {
        "nngpt": __version__,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "data_sha256": data_hash(history),
    }


def write_models(
    path: Path,
    form: Format[Any],
    entries: Mapping[str, Any],
    models: Mapping[str, lightgbm.Booster],
) -> None:
    """Write a model file: named LightGBM models and an index with these entries, atomically."""
    with scratch(path) as folder:
        draft = folder / path.name
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(form.index_name, json.dumps({**form.version, **entries}))
            for name, trees in models.items():
                file.writestr(f"{name}.txt", trees.model_to_string())
        publish(draft, path)


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
