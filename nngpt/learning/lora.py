"""The shape of a LoRA adapter, as the section `learning` of a configuration gives it."""

from __future__ import annotations

from typing import Any

from nngpt.config import LearningConfig
from nngpt.llm.adapters import check_adapter
from nngpt.llm.loading import LoadedBase
from nngpt.records import Adapter


def lora_config(config: LearningConfig, base: LoadedBase) -> Any:
    """A `peft.LoraConfig` for this base."""
    from peft import LoraConfig

    total = base.model.config.num_hidden_layers if config.layers else 0
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.target_modules),
        layers_to_transform=list(range(total - config.layers, total)) if config.layers else None,
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
    from peft import PeftModel

    check_adapter(parent, base)
    return {"model": PeftModel.from_pretrained(base.model, parent.path, is_trainable=True)}
