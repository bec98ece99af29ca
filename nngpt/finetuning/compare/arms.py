"""The arms of a comparison: parsed from `--arm` options and made from the configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nngpt import config
from nngpt.config import Config
from nngpt.errors import UserError
from nngpt.files import digest
from nngpt.finetuning.compare.records import ArmFacts, SharedSettings
from nngpt.generation.contract import Reader, make_reader
from nngpt.generation.models.adapters import starting_adapter
from nngpt.protocols import DatasetSource
from nngpt.records import Adapter, Prompt, Sampling
from nngpt.store import prompt_hash

BASE = "base"
_EXAMPLE = "Example: --arm base --arm tuned=runs/adapters/mine --arm few=base,prompt.template=few"
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,39}")
_SETTING = re.compile(r",(?=[a-z_]+(?:\.[a-z_]+)*=)")
_SHARED = ("seed", "task", "llm", "evaluation")
_IRRELEVANT = ("name", "candidates", "novelty", "learning")


@dataclass(frozen=True)
class ArmOption:
    """A parsed `--arm` option: folder of the adapter (None: the base model) and own settings."""

    name: str
    adapter: str | None
    changes: tuple[str, ...]


@dataclass(frozen=True)
class ArmPrompt:
    """A prompt of an arm, with the data sets for which it is the same."""

    prompt: Prompt
    tasks: tuple[str, ...]

    @property
    def key(self) -> str:
        """Key of the prompt in the record: the first 12 digits of its hash."""
        return prompt_hash(self.prompt)[:12]


@dataclass(frozen=True)
class ComparedArm:
    """An arm of a comparison: the base model or an adapter, with its prompts and readers."""

    facts: ArmFacts
    adapter: Adapter | None
    sampling: Sampling
    readers: Mapping[str, Reader]
    prompts: tuple[ArmPrompt, ...]

    @property
    def name(self) -> str:
        """Name of the arm, given by the user."""
        return self.facts.name


def parse_arm(text: str) -> ArmOption:
    """Parse an `--arm` option of a comparison. Raises: UserError."""
    head, *changes = _SETTING.split(text)
    name, equals, adapter = head.partition("=")
    where = f"--arm {text}"
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} is not a name for an arm", where=where, hint=_EXAMPLE)
    if not equals and name != BASE:
        hint = f"Give its folder, or call the arm {BASE}. {_EXAMPLE}"
        raise UserError(f"arm {name!r} has no adapter", where=where, hint=hint)
    if name == BASE and adapter not in ("", BASE):
        what = f"the name {BASE!r} is reserved for the model without an adapter"
        raise UserError(what, where=where, hint="Give the arm another name")
    return ArmOption(name, adapter if equals and adapter != BASE else None, tuple(changes))


def parse_arms(texts: Sequence[str]) -> list[ArmOption]:
    """Parse all `--arm` options. Raises: UserError if there is none, or two have one name."""
    found: dict[str, ArmOption] = {}
    for option in map(parse_arm, texts):
        if option.name in found:
            raise UserError(f"two arms are called {option.name!r}", where="--arm")
        found[option.name] = option
    if not found:
        raise UserError("no arm to compare", where="--arm", hint=_EXAMPLE)
    return list(found.values())


def shared_settings(settings: Config) -> SharedSettings:
    """Return the settings that a comparison's arms have in common."""
    identity = config.identity_of(settings)
    kept: dict[str, Any] = {key: identity[key] for key in _SHARED}
    kept["task"] = {k: v for k, v in kept["task"].items() if k not in ("dataset", "threshold")}
    kept["llm"] = {k: v for k, v in kept["llm"].items() if k != "adapter"}
    kept["evaluation"] = {k: v for k, v in kept["evaluation"].items() if k != "retrain"}
    return SharedSettings(kept)


def make_arms(
    settings: Config, options: Sequence[ArmOption], sources: Sequence[DatasetSource]
) -> list[ComparedArm]:
    """Make the arms of a comparison, with their prompts for all data sets.

    Raises: UserError for a wrong template, setting or adapter, a changed shared setting, or arms
    of different prompt modes.
    """
    arms = [_make_arm(_arm_config(settings, option), option, sources) for option in options]
    first = arms[0].facts
    for facts in (arm.facts for arm in arms):
        if facts.mode != first.mode:
            what = f"writes in {facts.mode} mode, but {first.name!r} in {first.mode} mode"
            hint = "Compare each mode in a comparison of its own"
            raise UserError(what, where=f"--arm {facts.name}", hint=hint)
    return arms


def _arm_config(settings: Config, option: ArmOption) -> Config:
    """Return the configuration of one arm. Raises: UserError if it changes a shared setting."""
    data, where = settings.model_dump(mode="json"), f"--arm {option.name}"
    own = config.changed(data, [*option.changes, "llm.adapter=null"], where)
    if option.adapter is not None:
        llm = own.llm.model_copy(update={"adapter": Path(option.adapter)})
        own = own.model_copy(update={"llm": llm})
    before, after = shared_settings(settings).settings, shared_settings(own).settings
    if different := [key for key in _SHARED if before[key] != after[key]]:
        what = f"an arm cannot change {different[0]!r}, which all arms share"
        raise UserError(what, where=where, hint="Change it for all arms with --set")
    return own


def _make_arm(own: Config, option: ArmOption, sources: Sequence[DatasetSource]) -> ComparedArm:
    adapter = starting_adapter(own)
    readers = {source.name: make_reader(own, source) for source in sources}
    prompts: dict[Prompt, list[str]] = {}
    for name, reader in readers.items():
        prompts.setdefault(reader.prompt, []).append(name)
    first = next(iter(readers.values())).prompt
    left_out = {*_SHARED, *_IRRELEVANT}
    facts = ArmFacts(
        name=option.name,
        adapter=_lineage(adapter) if adapter else None,
        mode=str(first.mode),
        template_hash=first.template_hash,
        settings={
            key: value for key, value in config.identity_of(own).items() if key not in left_out
        },
    )
    asked = tuple(ArmPrompt(prompt, tuple(names)) for prompt, names in prompts.items())
    return ComparedArm(facts, adapter, Sampling(**own.sampling.model_dump()), readers, asked)


def _lineage(adapter: Adapter) -> Mapping[str, Any]:
    facts = asdict(adapter)
    weights = Path(adapter.path) / "adapter_model.safetensors"
    facts["sha256"] = digest(weights) if weights.is_file() else None
    return {key: value for key, value in facts.items() if key != "path"}
