"""The shape of a LoRA adapter, as the section `learning` of a configuration gives it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nngpt.config import LearningConfig
from nngpt.errors import ModelError, nearest
from nngpt.generation.models.adapters import check_adapter
from nngpt.generation.models.loading import LoadedBase
from nngpt.records import Adapter


def lora_config(config: LearningConfig, base: LoadedBase) -> Any:
    """A `peft.LoraConfig` for this base."""
    from peft import LoraConfig

    return LoraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.target_modules),
        layers_to_transform=_layers(config, _count(base)),
    )


def start_of(config: LearningConfig, base: LoadedBase, parent: Adapter | None) -> dict[str, Any]:
    """What a TRL trainer starts from: `model`, and `peft_config` for a new adapter.

    Given so, TRL's reference is where training starts: the base (the new adapter switched off), or
    a frozen copy of `parent`.

    Raises:
        ModelError: `parent` is damaged, or belongs to another base.
    """
    if parent is None:
        return {"model": base.model, "peft_config": lora_config(config, base)}
    return {"model": _going_on(base, parent)}


def with_adapter(
    config: LearningConfig, base: LoadedBase, parent: Adapter | None, seed: int
) -> Any:
    """A `peft` model whose adapter can be trained; its weights are float32 on any base.

    A parent's rank, alpha, dropout and layers go on as they are.

    Raises:
        ModelError: `parent` is damaged, or belongs to another base.
    """
    from peft import get_peft_model
    from transformers import set_seed

    set_seed(seed)
    # Not prepare_model_for_kbit_training(): it changes the base that goes on writing.
    if parent is not None:
        return _going_on(base, parent)
    return get_peft_model(base.model, lora_config(config, base))


def check_settings(config: LearningConfig, base: LoadedBase) -> None:
    """Raises: ModelError if the base has no layer of such a name, or of such a number."""
    _check_modules(base, config.target_modules)
    count = _count(base)
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


def _going_on(base: LoadedBase, parent: Adapter) -> Any:
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


def _count(base: LoadedBase) -> int:
    return int(base.model.config.get_text_config().num_hidden_layers)


def _layers(config: LearningConfig, count: int) -> list[int] | None:
    """Numbers of the layers that get an adapter, None for all."""
    if config.layers is not None:
        return list(range(count - config.layers, count))
    return list(config.layers_to_transform) if config.layers_to_transform else None
