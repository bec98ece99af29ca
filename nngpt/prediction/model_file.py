"""Zip files with LightGBM text models and a JSON index, and nothing executable."""

from __future__ import annotations

import io
import json
import threading
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import lightgbm

from nngpt.errors import UserError
from nngpt.files import publish, scratch

_DAMAGES = (
    *(OSError, zipfile.BadZipFile, zlib.error, KeyError, ValueError, RuntimeError),
    lightgbm.basic.LightGBMError,
)


def write_models(
    path: Path,
    index_name: str,
    index: Mapping[str, Any],
    models: Iterable[tuple[str, lightgbm.Booster]],
) -> None:
    """Write an index and named models to a file, atomically; the index may grow with the models."""
    texts = [(f"{name}.txt", trees.model_to_string()) for name, trees in models]
    with scratch(path) as folder:
        draft = folder / path.name
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as file:
            for name, text in [(index_name, json.dumps(index)), *texts]:
                file.writestr(name, text)
        publish(draft, path)


class ModelFile:
    """A file that `write_models` wrote; models are loaded on demand.

    Args:
        kind: content of the file, for error messages.
        command: command that trains a new one.
        index_name: name of the index.
        expected: entries that the index must have.
        keys: further keys that the index must have.

    Attributes:
        path: path of the file.
        index: content of the index.

    Raises:
        UserError: the file is missing, damaged, or of another version.
    """

    def __init__(
        self,
        path: Path,
        kind: str,
        command: str,
        index_name: str,
        expected: Mapping[str, Any],
        keys: Iterable[str],
    ) -> None:
        self.path, self._kind, self._command = path, kind, command
        self._reading = threading.Lock()
        try:
            # Read all of it now: the file may be replaced while it is in use.
            self._bytes = io.BytesIO(path.read_bytes())
            with zipfile.ZipFile(self._bytes) as file:
                found = json.loads(file.read(index_name))
        except FileNotFoundError:
            hint = f"Train one: {command}"
            raise UserError(f"there is no {kind}", where=str(path), hint=hint) from None
        except _DAMAGES as error:
            raise self._damaged(error) from None
        self.index: dict[str, Any] = found if isinstance(found, dict) else {}
        if any(self.index.get(key) != value for key, value in expected.items()):
            hint = f"Train it again: {command}"
            raise UserError(f"is a {kind} of another version", where=str(path), hint=hint)
        if missing := set(keys) - self.index.keys():
            raise self._damaged(KeyError(min(missing)))

    def models(self, names: Iterable[str]) -> list[lightgbm.Booster]:
        """Load models by their names. Raises: UserError if the file is damaged."""
        try:
            with self._reading, zipfile.ZipFile(self._bytes) as file:
                texts = [file.read(f"{name}.txt").decode() for name in names]
            return [lightgbm.Booster(model_str=text) for text in texts]
        except _DAMAGES as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> UserError:
        what = f"is not a {self._kind}, or is damaged ({error})"
        return UserError(what, where=str(self.path), hint=f"Train it again: {self._command}")
