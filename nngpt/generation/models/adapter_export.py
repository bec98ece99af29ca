"""Export adapters for other tools: merged into their base model, or as a `peft` folder."""

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
    """Merge an adapter into its base model and write an ordinary model folder to `out`.

    Args:
        dtype: "float32" or "bfloat16", dtype of the written weights; merging uses float32.
        source: location of the base's weights, if not the adapter's recorded base.

    Raises:
        UserError: `out` exists already.
        ModelError: the base is missing, quantised, or not the adapter's.
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
    """Copy an adapter with its lineage to `out`, as a folder for `peft`.

    Args:
        base_name: name of the base at the destination (a Hub id, a folder); nngpt's own if None.

    Raises:
        UserError: `out` exists already.
    """
    _check_new(out)

    def write(draft: Path) -> None:
        shutil.copytree(adapter.path, draft, dirs_exist_ok=True)
        file = draft / "adapter_config.json"
        config = json.loads(file.read_text(encoding="utf-8"))
        _write_json(config | {"base_model_name_or_path": base_name or adapter.base}, file)
        # Paths of this machine are private.
        _write_json(asdict(adapter) | {"path": ""}, draft / LINEAGE)

    return _publish(out, write)


def _merged(model: Any, adapter: Adapter, dtype: str) -> Any:
    import torch
    from peft import PeftModel

    whole = PeftModel.from_pretrained(model, adapter.path).merge_and_unload(safe_merge=True)
    return whole.to(getattr(torch, dtype))


def _facts(adapter: Adapter, source: str, dtype: str) -> dict[str, Any]:
    """Return the lineage of a merged model, for `nngpt-merged.json`."""
    weights = "The base's weights are those of its files."
    if quantized := _dequantized(source):
        weights = f"The base's weights were dequantised from {quantized}."
    merged = {"version": __version__, "dtype": dtype, "weights": weights}
    return {"merged": merged, "source": source, "adapter": asdict(adapter) | {"path": ""}}


def _dequantized(source: str) -> str | None:
    """Return the name of the GGUF file that was dequantised, None if there is none."""
    found = embedded.resolve(source)
    is_file = isinstance(found, Path) and found.suffix == ".gguf"
    return Path(found).name if is_file else None


def _check_whole(source: str) -> None:
    """Check that the base's files are not quantised. Raises: ModelError."""
    method = quantization_of(source)
    if method is not None:
        raise ModelError(
            f"is quantised ({method}): merging into it would round the adapter away",
            where=f"base {source}",
            hint="Give the unquantised model as --base, or save it dequantised first.",
        )


def _check_new(out: Path) -> None:
    if out.exists():
        raise UserError("exists already", where=str(out), hint="Choose another --out")


def _publish(out: Path, write: Callable[[Path], None]) -> Path:
    """Write a folder atomically: to a draft beside `out`, then renamed."""
    draft = out.with_name(f".{out.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    write(draft)
    draft.rename(out)
    return out


def _write_json(value: Any, file: Path) -> None:
    file.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
