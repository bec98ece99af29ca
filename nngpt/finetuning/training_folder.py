"""The folder of one RL or preference training: its settings, its lock, the finished adapter."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from nngpt.config import Config, describe_changes, identity_of, with_new_keys
from nngpt.errors import ModelError, UserError
from nngpt.files import read_object
from nngpt.generation.models.adapters import read_adapter
from nngpt.records import Adapter
from nngpt.store.lock import RunLock

_SETTINGS = "settings.json"
_MAY_CHANGE = frozenset({"steps", "checkpoint_every"})
"""Keys of `rl` that may change when a training resumes: they do not affect what is learned."""


def rl_settings(config: Config, parent: Adapter | None) -> dict[str, Any]:
    """Return the settings kept in the training folder of RL."""
    settings = identity_of(config)
    del settings["candidates"]
    rl = config.rl.model_dump(mode="json")
    settings["rl"] = {key: value for key, value in rl.items() if key not in _MAY_CHANGE}
    return {"method": "grpo", **settings, **_start(settings["llm"], parent)}


def preference_settings(
    config: Config, parent: Adapter | None, method: str, answers: str
) -> dict[str, Any]:
    """Return the settings kept in the training folder of DPO or KTO.

    Args:
        method: "dpo" or "kto".
        answers: hash of the answers that the training uses.
    """
    settings = identity_of(config)
    kept: dict[str, Any] = {key: settings[key] for key in ("name", "seed", "learning")}
    kept["preference"] = config.preference.model_dump(mode="json")
    return {"method": method, **kept, "answers": answers, **_start(settings["llm"], parent)}


def _start(llm: Mapping[str, Any], parent: Adapter | None) -> dict[str, Any]:
    """Return the model, and the parent adapter identified by its weights instead of its path."""
    model = {key: value for key, value in llm.items() if key != "adapter"}
    return {"llm": model, "start": _fingerprint(parent) if parent else None}


@contextmanager
def lock_folder(folder: Path, settings: Mapping[str, Any], fresh: bool) -> Iterator[None]:
    """Lock an RL or preference training's folder, and write its settings or compare them.

    Args:
        settings: settings that the training must keep.
        fresh: move the folder's contents to a subfolder `old-…` first.

    Raises:
        UserError: the training began with other settings, or another process works in the folder.
    """
    lock = RunLock(folder / ".lock")
    try:
        if fresh:
            _move_aside(folder)
        file = folder / _SETTINGS
        if file.exists():
            _check_same(read_object(file), settings, file)
        else:
            draft = file.with_name(f".{file.name}.part")
            draft.write_text(json.dumps(settings, indent=2), encoding="utf-8")
            draft.rename(file)
        yield
    finally:
        lock.release()


def trained_adapter(folder: Path, steps: int) -> Adapter | None:
    """Return a training folder's adapter if it has at least `steps` steps, else None."""
    if not (folder / "adapter").is_dir():
        return None
    adapter = read_adapter(folder / "adapter")
    taken = int(json.loads(adapter.settings)["steps"])
    return replace(adapter, path=str((folder / "adapter").resolve())) if taken >= steps else None


def _move_aside(folder: Path) -> None:
    """Move the folder's contents to a new subfolder `old-…`."""
    aside = folder / f"old-{time.time_ns()}"
    aside.mkdir()
    for found in list(folder.iterdir()):
        if found.name != ".lock" and not found.name.startswith("old-"):
            found.rename(aside / found.name)


def _check_same(before: Mapping[str, Any], now: Mapping[str, Any], file: Path) -> None:
    settings = json.loads(json.dumps(now))
    changed = describe_changes(with_new_keys(before, settings), settings)
    if changed:
        raise UserError(
            f"it began with other settings: {changed}",
            where=str(file.parent),
            hint="Set them back, start over with --fresh, or choose another folder with --out.",
        )


def _fingerprint(adapter: Adapter) -> str:
    """Return an adapter's name and a hash of its weights. Raises: ModelError."""
    file = Path(adapter.path) / "adapter_model.safetensors"
    try:
        return f"{adapter.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror})", where=str(file)) from None
