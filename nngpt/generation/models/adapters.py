"""Read and write LoRA adapter folders: `peft`'s weights, and the lineage in `nngpt.json`."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from nngpt.config import SHIPPED, Config
from nngpt.errors import ModelError
from nngpt.files import sync
from nngpt.generation.models.loading import LoadedBase
from nngpt.records import Adapter

LINEAGE = "nngpt.json"


def shipped() -> list[Adapter]:
    """Return the adapters that come with nngpt, sorted by name."""
    return [find_adapter(file.parent) for file in sorted(SHIPPED.glob(f"*/{LINEAGE}"))]


def find_adapter(given: Path) -> Adapter:
    """Return the shipped adapter of this name, or the adapter in this folder, with its path.

    Raises: ModelError if there is no such folder, or nngpt did not write it.
    """
    known = SHIPPED / given.name
    folder = known if given.parent == Path() and not given.exists() and known.is_dir() else given
    return replace(read_adapter(folder), path=str(folder.resolve()))


def starting_adapter(config: Config) -> Adapter | None:
    """Return the adapter of `llm.adapter`, None if there is none. Raises: ModelError."""
    return None if config.llm.adapter is None else find_adapter(config.llm.adapter)


def read_adapter(folder: Path) -> Adapter:
    """Read the lineage of an adapter folder. Raises: ModelError if nngpt did not write it."""
    file = folder / LINEAGE
    try:
        return Adapter(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        names = ", ".join(sorted(file.parent.name for file in SHIPPED.glob(f"*/{LINEAGE}")))
        hint = f"Give a folder under runs/adapters, or a name: {names}."
        what = f"not an adapter that nngpt wrote ({error})"
        raise ModelError(what, where=str(file), hint=hint) from None


def check_adapter(adapter: Adapter, base: LoadedBase) -> None:
    """Check that an adapter is readable and fits the base model. Raises: ModelError."""
    from safetensors import SafetensorError, safe_open

    if (adapter.base, adapter.base_digest) != (base.name, base.digest):
        raise ModelError(
            f"adapter {adapter.name!r} was made for {adapter.base} ({adapter.base_digest}),"
            f" not for {base.name} ({base.digest})",
            where=adapter.path,
            hint=f"Set llm.model to {adapter.base}.",
        )
    # Checked before peft changes the base model, because peft cannot undo a partial change.
    try:
        json.loads((Path(adapter.path) / "adapter_config.json").read_text(encoding="utf-8"))
        safe_open(Path(adapter.path) / "adapter_model.safetensors", framework="pt")
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(
            f"the folder of adapter {adapter.name!r} is missing or damaged ({error})",
            where=adapter.path,
            hint="Restore it, or start again with --fresh.",
        ) from None


def finished_adapter(
    target: Path, base: LoadedBase, corpus_hash: str, parent: Adapter | None
) -> Adapter | None:
    """Return the adapter in `target` if it was written completely before a kill, else None."""
    if not target.is_dir():
        return None
    found = read_adapter(target)
    wanted = (base.name, base.digest, corpus_hash, parent.name if parent else None)
    same = (found.base, found.base_digest, found.corpus_hash, found.parent) == wanted
    return replace(found, path=str(target.resolve())) if same else None


def save_adapter(
    model: Any,
    adapter: Adapter,
    target: Path,
    dtype: str = "float32",
    also: Callable[[Path], None] = lambda _: None,
) -> Adapter:
    """Save an LLM's adapter atomically to a folder: draft, flush, rename.

    Args:
        dtype: dtype of the weights in the file; loading converts them to float32.
        also: writes further files into the draft folder.
    """
    import torch

    draft = target.with_name(f".{target.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    # Record the base model by its name, not by its path on this machine.
    model.peft_config["default"].base_model_name_or_path = adapter.base
    weights = {
        k: w.to(getattr(torch, dtype)) for k, w in model.state_dict().items() if "lora_" in k
    }
    model.save_pretrained(draft, save_embedding_layers=False, state_dict=weights)
    also(draft)
    adapter = replace(adapter, path=str(target.resolve()))
    (draft / LINEAGE).write_text(json.dumps(asdict(adapter), indent=2), encoding="utf-8")
    for file in [*draft.iterdir(), draft]:
        sync(file)
    if target.exists():  # left by a deleted database; kept under another name
        target.rename(target.with_name(f"{target.name}.old-{time.time_ns()}"))
    draft.rename(target)
    return adapter
