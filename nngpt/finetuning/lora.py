"""LoRA for training: base model, new or continued adapter, check of the settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nngpt.config import LearningConfig, LLMConfig
from nngpt.errors import ModelError, nearest
from nngpt.generation.models.adapters import check_adapter
from nngpt.generation.models.loading import LoadedBase, load_base
from nngpt.records import Adapter


def load_training_base(config: LearningConfig, llm: LLMConfig) -> LoadedBase:
    """Load `learning.base`, else the served model, to train LoRA on; it has the latter's name."""
    loaded = load_base(llm.model_copy(update={"model": config.base or llm.model}))
    return replace(loaded, name=llm.model)


def lora_config(config: LearningConfig, base: LoadedBase) -> Any:
    """Return the `peft.LoraConfig` that the settings give for this base."""
    from peft import LoraConfig

    layers = list(config.layers_to_transform or ()) or None
    if config.layers is not None:
        count = _layer_count(base)
        layers = list(range(count - config.layers, count))
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.target_modules),
        layers_to_transform=layers,
    )


_SHAPE = ("rank", "alpha", "dropout", "target_modules", "layers", "layers_to_transform")


def inherited(config: LearningConfig, parent: Adapter | None) -> LearningConfig:
    """Return the settings of a training that continues from `parent`, which keeps its LoRA shape.

    Whoever loads the adapter refuses a damaged one; here its settings then stay as configured.
    """
    if parent is None:
        return config
    try:
        found = json.loads((Path(parent.path) / "adapter_config.json").read_text(encoding="utf-8"))
        modules, layers = set(found["target_modules"]), found["layers_to_transform"]
        shape = {"rank": found["r"], "alpha": found["lora_alpha"], "dropout": found["lora_dropout"]}
    except (OSError, ValueError, LookupError, TypeError):
        return config
    if modules != set(config.target_modules):
        shape["target_modules"] = tuple(sorted(modules))
    last = list(range(layers[0], layers[0] + (config.layers or 0))) if layers else None
    if config.layers is None or layers != last:
        layers = tuple(layers) if layers else None
        shape |= {"layers": None, "layers_to_transform": layers}
    return config.model_copy(update=shape)


def overridden(config: LearningConfig, parent: Adapter | None) -> str:
    """Name the given settings that have no effect, since `parent` has its own; "" for none."""
    own = inherited(config, parent)
    layers = own.layers_to_transform or "all"
    has = {**vars(own), "layers": own.layers or layers, "layers_to_transform": layers}
    ignored = [
        f"learning.{key}={getattr(config, key)} (its: {has[key]})"
        for key in _SHAPE
        if key in config.model_fields_set and getattr(config, key) != getattr(own, key)
    ]
    if parent is None or not ignored:
        return ""
    return f"Without effect, since the adapter {parent.name!r} has its own: {', '.join(ignored)}"


def trainer_start(
    config: LearningConfig, base: LoadedBase, parent: Adapter | None
) -> dict[str, Any]:
    """Return the LoRA adapter to train as a TRL trainer's arguments `model` and `peft_config`.

    With these, TRL's reference model is the start of the training: the base (the new adapter
    switched off), or a frozen copy of `parent`.

    Raises: ModelError if `parent` is damaged, or belongs to another base.
    """
    if parent is None:
        return {"model": base.model, "peft_config": lora_config(config, base)}
    return {"model": _with_parent(base, parent)}


def with_adapter(
    config: LearningConfig, base: LoadedBase, parent: Adapter | None, seed: int
) -> Any:
    """Return a `peft` model with a float32 LoRA adapter to train, new or continued from `parent`.

    A parent's rank, alpha, dropout, modules and layers stay as they are (`inherited`).

    Raises: ModelError if `parent` is damaged, or belongs to another base.
    """
    from peft import get_peft_model
    from transformers import set_seed

    set_seed(seed)
    # Not prepare_model_for_kbit_training(): it changes the base, which is used for writing later.
    if parent is not None:
        return _with_parent(base, parent)
    return get_peft_model(base.model, lora_config(config, base))


def check_settings(config: LearningConfig, base: LoadedBase) -> None:
    """Check that the base has the modules and layers configured for LoRA. Raises: ModelError."""
    _check_modules(base, config.target_modules)
    count = _layer_count(base)
    last = max(config.layers_to_transform or (0,))
    if last >= count:
        raise ModelError(
            f"{base.name} has no layer {last}",
            where="learning.layers_to_transform",
            hint=f"It has {count}, from 0 to {count - 1}.",
        )
    if config.layers is not None and config.layers > count:
        raise ModelError(
            f"{base.name} has no {config.layers} layers",
            where="learning.layers",
            hint=f"It has {count}.",
        )


def _with_parent(base: LoadedBase, parent: Adapter) -> Any:
    from peft import PeftModel

    check_adapter(parent, base)
    return PeftModel.from_pretrained(base.model, parent.path, is_trainable=True)


def _check_modules(base: LoadedBase, wanted: Sequence[str]) -> None:
    names = {name.rpartition(".")[2] for name, _ in base.model.named_modules()}
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ModelError(
            f"{base.name} has no layer {missing[0]!r}",
            where="learning.target_modules",
            hint=nearest(missing[0], [n for n in names if n.endswith(("proj", "attn", "fc"))]),
        )


def _layer_count(base: LoadedBase) -> int:
    return int(base.model.config.get_text_config().num_hidden_layers)
