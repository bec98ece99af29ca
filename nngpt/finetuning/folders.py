"""The folder of one training: the settings it began with, a lock, and the adapter at its end."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from nngpt.config import Config, with_new_keys
from nngpt.errors import ModelError, UserError
from nngpt.generation.models.adapters import read_adapter
from nngpt.records import Adapter
from nngpt.store.lock import RunLock

_SETTINGS = "settings.json"
_MAY_CHANGE = frozenset({"steps", "checkpoint_every"})
"""Keys of `rl` that say how far and how safely, not what is learned."""


def rl_settings(config: Config, parent: Adapter | None) -> dict[str, Any]:
    """What must stay the same while RL goes on; goes into the adapter's lineage, too."""
    settings = config.identity()
    del settings["candidates"]
    rl = config.rl.model_dump(mode="json")
    settings["rl"] = {key: value for key, value in rl.items() if key not in _MAY_CHANGE}
    return {"method": "grpo", **settings, **_start(settings["llm"], parent)}


def preference_settings(
    config: Config, parent: Adapter | None, method: str, answers: str
) -> dict[str, Any]:
    """The same for DPO and KTO; `answers` is a fingerprint of what is learned from."""
    settings = config.identity()
    kept: dict[str, Any] = {key: settings[key] for key in ("name", "seed", "learning")}
    kept["preference"] = config.preference.model_dump(mode="json")
    return {"method": method, **kept, "answers": answers, **_start(settings["llm"], parent)}


def _start(llm: Mapping[str, Any], parent: Adapter | None) -> dict[str, Any]:
    """The model and the adapter, known by its weights, not by where it lies."""
    model = {key: value for key, value in llm.items() if key != "adapter"}
    return {"llm": model, "start": _fingerprint(parent) if parent else None}


@contextmanager
def opened(folder: Path, settings: Mapping[str, Any], fresh: bool) -> Iterator[None]:
    """Hold a training's folder, which is there. With `fresh`, what it held is put aside.

    Raises:
        UserError: it was begun with other settings, or another process works in it.
    """
    lock = RunLock(folder / ".lock")
    try:
        if fresh:
            _put_aside(folder)
        file = folder / _SETTINGS
        if file.exists():
            _compare(json.loads(file.read_text(encoding="utf-8")), settings, file)
        else:
            draft = file.with_name(f".{file.name}.part")
            draft.write_text(json.dumps(settings, indent=2), encoding="utf-8")
            draft.rename(file)
        yield
    finally:
        lock.release()


def finished(folder: Path, steps: int) -> Adapter | None:
    """The adapter at the end of so many steps, or of more; None if it is not there yet."""
    if not (folder / "adapter").is_dir():
        return None
    adapter = read_adapter(folder / "adapter")
    taken = int(json.loads(adapter.settings)["steps"])
    return replace(adapter, path=str((folder / "adapter").resolve())) if taken >= steps else None


def _put_aside(folder: Path) -> None:
    aside = folder / f"old-{time.time_ns()}"
    aside.mkdir()
    for found in list(folder.iterdir()):
        if found.name != ".lock" and not found.name.startswith("old-"):
            found.rename(aside / found.name)


def _compare(began: Mapping[str, Any], now: Mapping[str, Any], file: Path) -> None:
    settings = json.loads(json.dumps(now))
    changed = sorted(differences(with_new_keys(began, settings), settings))
    if changed:
        raise UserError(
            f"it began with other settings: {', '.join(changed)}",
            where=str(file.parent),
            hint="Set them back, begin anew with --fresh, or choose another folder with --out.",
        )


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Key paths at which two dumped settings differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {*old, *new}:
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield f"{path} was {old}, is {new}"


def _fingerprint(adapter: Adapter) -> str:
    """An adapter's name and weights. Raises: ModelError."""
    file = Path(adapter.path) / "adapter_model.safetensors"
    try:
        return f"{adapter.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror})", where=str(file)) from None
