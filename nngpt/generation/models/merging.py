"""Adapters for the world outside: merged into their base, or as they are, in a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nngpt import __version__
from nngpt.config import LLMConfig
from nngpt.errors import ModelError, UserError
from nngpt.generation.models import embedded
from nngpt.generation.models.adapters import LINEAGE, check_adapter
from nngpt.generation.models.loading import LoadedBase, load_base, quantization_of
from nngpt.records import Adapter

MERGED = "nngpt-merged.json"

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


def merge(adapter: Adapter, out: Path, dtype: str, source: str | None = None) -> Path:
    """Merge an adapter into its base; `out` becomes an ordinary model folder.

    Args:
        dtype: "float32" or "bfloat16", of the weights in the folder; the sum is float32.
        source: the base's weights if they are not where the adapter's base is.

    Raises:
        UserError: `out` is there already.
        ModelError: the base cannot be had, is quantised, or is not the adapter's.
    """
    _check_new(out)
    wanted = source or adapter.base
    _check_whole(wanted)
    settings = LLMConfig(model=wanted, device="cpu", dtype="float32", quantization="none")
    loaded = load_base(settings)
    base = LoadedBase(adapter.base, loaded.digest, loaded.model, loaded.tokenizer, loaded.facts)
    check_adapter(adapter, base)
    model = _merged(base.model, adapter, dtype)
    facts = _facts(adapter, wanted, dtype)

    def write(draft: Path) -> None:
        model.save_pretrained(draft)
        base.tokenizer.save_pretrained(draft)
        _write_json(facts, draft / MERGED)
        card = _CARD.format(**asdict(adapter), **facts["merged"], file=MERGED)
        (draft / "README.md").write_text(card, encoding="utf-8")

    return _publish(out, write)


def export(adapter: Adapter, out: Path, base_name: str | None = None) -> Path:
    """Copy an adapter as `peft` reads it, with its lineage.

    Args:
        base_name: what its base is called where it goes (a Hub id, a folder); nngpt's own name
            for it if None.

    Raises:
        UserError: `out` is there already.
        ModelError: the adapter's folder is damaged.
    """
    _check_new(out)

    def write(draft: Path) -> None:
        shutil.copytree(adapter.path, draft, dirs_exist_ok=True)
        file = draft / "adapter_config.json"
        config = json.loads(file.read_text(encoding="utf-8"))
        _write_json(config | {"base_model_name_or_path": base_name or adapter.base}, file)
        # Where it lies on this machine is nobody else's business.
        _write_json(asdict(adapter) | {"path": ""}, draft / LINEAGE)

    return _publish(out, write)


def _merged(model: Any, adapter: Adapter, dtype: str) -> Any:
    import torch
    from peft import PeftModel

    whole = PeftModel.from_pretrained(model, adapter.path).merge_and_unload(safe_merge=True)
    return whole.to(getattr(torch, dtype))


def _facts(adapter: Adapter, source: str, dtype: str) -> dict[str, Any]:
    """The lineage of a merged model."""
    weights = "The base's weights are those of its files."
    if quantized := _dequantized(source):
        weights = f"The base's weights were dequantised from {quantized}."
    merged = {"version": __version__, "dtype": dtype, "weights": weights}
    return {"merged": merged, "source": source, "adapter": asdict(adapter) | {"path": ""}}


def _dequantized(source: str) -> str | None:
    """The GGUF file that nngpt dequantised, None if the weights were not quantised."""
    found = embedded.resolve(source)
    is_file = isinstance(found, Path) and found.suffix == ".gguf"
    return Path(found).name if is_file else None


def _check_whole(source: str) -> None:
    """Raises: ModelError if the base's own files are quantised."""
    method = quantization_of(source)
    if method is not None:
        raise ModelError(
            f"is quantised ({method}): merging into it would round the adapter away",
            where=f"base {source}",
            hint="Give the unquantised model as --base, or save it dequantised first.",
        )


def _check_new(out: Path) -> None:
    if out.exists():
        raise UserError("is there already", where=str(out), hint="Choose another --out")


def _publish(out: Path, write: Callable[[Path], None]) -> Path:
    """Write into a draft beside `out` and rename it."""
    draft = out.with_name(f".{out.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    write(draft)
    draft.rename(out)
    return out


def _write_json(value: Any, file: Path) -> None:
    file.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
