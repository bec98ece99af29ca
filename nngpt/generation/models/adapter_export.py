"""Export adapters for other tools: merged into their base model, or as a `peft` folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from nngpt import __version__, files
from nngpt.config import LLMConfig
from nngpt.errors import ModelError, UserError
from nngpt.generation.models import embedded
from nngpt.generation.models.adapters import LINEAGE, check_adapter
from nngpt.generation.models.loading import load_base, quantization_of
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
        config = json.loads(file.read_text(encoding="utf-8"))
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
