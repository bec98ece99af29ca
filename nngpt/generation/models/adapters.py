"""LoRA adapter folders: find, read and save them with their lineage, and export or merge them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from nngpt import __version__, files
from nngpt.config import SHIPPED, Config, LLMConfig
from nngpt.errors import LearningFailed, ModelError, UserError, explain
from nngpt.generation.models import embedded
from nngpt.generation.models.loading import LoadedBase, load_base, quantization_of
from nngpt.records import Adapter

LINEAGE = "nngpt.json"
MERGED = "nngpt-merged.json"
_ADAPTER = TypeAdapter(Adapter)
_CARD = """\
---
base_model: {base}
library_name: transformers
---

# {name}

{base} with the LoRA adapter `{name}` merged into it by nngpt {version}, in {dtype}.
{weights}

The adapter was trained on {pairs:,} pairs ({tokens:,} answer tokens). `{file}` holds its lineage.
Use it: `llm.model` in a configuration of nngpt, or `AutoModelForCausalLM.from_pretrained`.
The licence is that of the base model.
"""


def shipped() -> list[Adapter]:
    """Return the adapters that come with nngpt, sorted by name."""
    return [find_adapter(file.parent) for file in sorted(SHIPPED.glob(f"*/{LINEAGE}"))]


def find_adapter(given: Path) -> Adapter:
    """Return the shipped adapter of this name, or the adapter in this folder, with its path.

    Raises: ModelError if there is no such folder, nngpt did not write it, or it is damaged.
    """
    known = SHIPPED / given.name
    folder = known if given.parent == Path() and not given.exists() and known.is_dir() else given
    adapter = replace(read_adapter(folder), path=str(folder.resolve()))
    check_files(adapter)
    return adapter


def starting_adapter(config: Config) -> Adapter | None:
    """Return the adapter of `llm.adapter`, None if there is none. Raises: ModelError."""
    return None if config.llm.adapter is None else find_adapter(config.llm.adapter)


def read_adapter(folder: Path) -> Adapter:
    """Read the lineage of an adapter folder. Raises: ModelError if nngpt did not write it."""
    file = folder / LINEAGE
    try:
        return _ADAPTER.validate_json(files.read_bytes(file, error=ModelError))
    except (ModelError, ValidationError) as error:
        why = error.what if isinstance(error, ModelError) else explain(error, None)
        names = ", ".join(sorted(file.parent.name for file in SHIPPED.glob(f"*/{LINEAGE}")))
        hint = f"Give a folder under runs/adapters, or a name: {names}."
        what = f"not an adapter that nngpt wrote ({why})"
        raise ModelError(what, where=str(file), hint=hint) from None


def check_adapter(adapter: Adapter, base: LoadedBase) -> None:
    """Check that an adapter is readable and fits the base model. Raises: ModelError."""
    if (adapter.base, adapter.base_digest) != (base.name, base.digest):
        raise ModelError(
            f"adapter {adapter.name!r} was made for {adapter.base} ({adapter.base_digest}),"
            f" not for {base.name} ({base.digest})",
            where=adapter.path,
            hint=f"Set llm.model to {adapter.base}.",
        )
    # Checked before peft changes the base model, because peft cannot undo a partial change.
    check_files(adapter)


class _LoraConfig(BaseModel):
    """The keys of `adapter_config.json` on which the shapes of the weights depend."""

    peft_type: Literal["LORA"]
    r: int = Field(gt=0)
    lora_alpha: float = Field(gt=0, allow_inf_nan=False)
    rank_pattern: dict[str, Annotated[int, Field(gt=0)]] | None = None


def check_files(adapter: Adapter) -> None:
    """Check that an adapter's folder holds LoRA weights of the configured rank. Raises: ModelError.

    Weights are read from safetensors only: peft would otherwise unpickle `adapter_model.bin`.
    """
    from safetensors import SafetensorError, safe_open

    folder = Path(adapter.path)
    try:
        found = files.read_object(folder / "adapter_config.json", ModelError)
        config = _LoraConfig.model_validate(found)
        ranks = {config.r, *(config.rank_pattern or {}).values()}
        with safe_open(folder / "adapter_model.safetensors", framework="numpy") as weights:
            names = list(weights.keys())
            shapes = {name: weights.get_slice(name).get_shape() for name in names}
        _check_shapes(shapes, ranks)
    except (OSError, ValueError, SafetensorError, ModelError) as error:
        why = explain(error, None) if isinstance(error, ValidationError) else str(error)
        raise ModelError(
            f"the folder of adapter {adapter.name!r} is missing or damaged ({why})",
            where=adapter.path,
            hint="Restore it, or start again with --fresh.",
        ) from None


def _check_shapes(shapes: Mapping[str, list[int]], ranks: set[int]) -> None:
    """Check that an adapter's weights are LoRA matrices of these ranks. Raises: ValueError."""
    if not shapes:
        raise ValueError("there are no weights")
    for name, shape in shapes.items():
        side = 0 if "lora_A" in name else 1 if "lora_B" in name else -1
        if side < 0 or len(shape) != 2 or shape[side] not in ranks:
            raise ValueError(f"{name} of shape {shape} is no LoRA matrix of rank {min(ranks)}")


def finished_adapter(
    target: Path, base: LoadedBase, corpus_hash: str, parent: Adapter | None
) -> Adapter | None:
    """Return the adapter in the folder `target` if it was saved before a kill, else None."""
    if not target.is_dir():
        return None
    found = read_adapter(target)
    wanted = (base.name, base.digest, corpus_hash, parent.name if parent else None)
    same = (found.base, found.base_digest, found.corpus_hash, found.parent) == wanted
    return replace(found, path=str(target.resolve())) if same else None


def adapter_weights(model: Any, dtype: str = "float32") -> dict[str, Any]:
    """Return a copy of an adapter's weights on the CPU, by name, as its file holds them."""
    import torch

    kept = {name: weight for name, weight in model.state_dict().items() if "lora_" in name}
    kind = getattr(torch, dtype)
    return {name: weight.to("cpu", kind, copy=True) for name, weight in kept.items()}


def check_changed(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Check that a training has changed an adapter's weights. Raises: LearningFailed."""
    if all(weight.equal(before[name]) for name, weight in after.items()):
        raise LearningFailed(
            "nothing was learned: no weight of the adapter changed",
            hint="Raise the learning rate or the number of steps.",
        )


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
    draft = target.with_name(f".{target.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    # Record the base model by its name, not by its path on this machine.
    model.peft_config["default"].base_model_name_or_path = adapter.base
    weights = adapter_weights(model, dtype)
    model.save_pretrained(draft, save_embedding_layers=False, state_dict=weights)
    also(draft)
    adapter = replace(adapter, path=str(target.resolve()))
    (draft / LINEAGE).write_text(json.dumps(asdict(adapter), indent=2), encoding="utf-8")
    for file in [*draft.iterdir(), draft]:
        files.sync(file)
    if target.exists():  # left by a deleted database; kept under another name
        target.rename(target.with_name(f"{target.name}.old-{time.time_ns()}"))
    draft.rename(target)
    return adapter


def merge(adapter: Adapter, out: Path, dtype: str, source: str | None = None) -> Path:
    """Export an adapter merged into its base: write an ordinary model folder to `out`.

    Args:
        dtype: "float32" or "bfloat16", dtype of the written weights; merging uses float32.
        source: location of the base's weights, if not the adapter's recorded base.

    Raises:
        UserError: `out` exists already.
        ModelError: the base is missing, quantised, or not the adapter's.
    """
    wanted = source or adapter.base
    with _new_folder(out) as draft:
        _check_whole(wanted)
        settings = LLMConfig(model=wanted, device="cpu", dtype="float32", quantization="none")
        base = replace(load_base(settings), name=adapter.base)
        check_adapter(adapter, base)
        _merged(base.model, adapter, dtype).save_pretrained(draft)
        base.tokenizer.save_pretrained(draft)
        facts = _facts(adapter, wanted, dtype)
        _write_json(facts, draft / MERGED)
        card = _CARD.format(**asdict(adapter), **facts["merged"], file=MERGED)
        (draft / "README.md").write_text(card, encoding="utf-8")
    return out


def export(adapter: Adapter, out: Path, base_name: str | None = None) -> Path:
    """Export an adapter with its lineage to `out`, as a folder for `peft`.

    Args:
        base_name: name of the base at the destination (a Hub id, a folder); nngpt's own if None.

    Raises: UserError if `out` exists already.
    """
    with _new_folder(out) as draft:
        shutil.copytree(adapter.path, draft, dirs_exist_ok=True)
        file = draft / "adapter_config.json"
        config = files.read_object(file, ModelError)
        _write_json(config | {"base_model_name_or_path": base_name or adapter.base}, file)
        # Paths of this machine are private.
        _write_json(asdict(adapter) | {"path": ""}, draft / LINEAGE)
    return out


def _merged(model: Any, adapter: Adapter, dtype: str) -> Any:
    import torch
    from peft import PeftModel

    whole = PeftModel.from_pretrained(model, adapter.path).merge_and_unload(safe_merge=True)
    return whole.to(getattr(torch, dtype))


def _facts(adapter: Adapter, source: str, dtype: str) -> dict[str, Any]:
    """Return the lineage of a merged model, for `nngpt-merged.json`."""
    found, weights = embedded.resolve(source), "The base's weights are those of its files."
    if isinstance(found, Path) and found.suffix == ".gguf":
        weights = f"The base's weights were dequantised from {found.name}."
    merged = {"version": __version__, "dtype": dtype, "weights": weights}
    return {"merged": merged, "source": source, "adapter": asdict(adapter) | {"path": ""}}


def _check_whole(source: str) -> None:
    """Check that the base's files are not quantised. Raises: ModelError."""
    method = quantization_of(source)
    if method is not None:
        raise ModelError(
            f"is quantised ({method}): merging into it would round the adapter away",
            where=f"base {source}",
            hint="Give the unquantised model as --base, or save it dequantised first.",
        )


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Yield a draft that is renamed to `out` at the end. Raises: UserError if `out` exists."""
    if out.exists():
        raise UserError("exists already", where=str(out), hint="Choose another --out")
    with files.scratch(out) as draft:
        draft.chmod(0o755)
        yield draft
        files.publish(draft, out)


def _write_json(value: Any, file: Path) -> None:
    file.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
