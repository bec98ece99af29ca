"""From `--arm` options to the arms of a comparison, and what all of them share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nngpt.errors import UserError

if TYPE_CHECKING:
    from nngpt.config import Config
    from nngpt.finetuning.compare.records import Arm, Setting
    from nngpt.protocols import DatasetSource
    from nngpt.records import Adapter

BASE = "base"
SYNTAX = "NAME[=ADAPTER][,KEY=VALUE…]"
_EXAMPLE = "Example: --arm base --arm tuned=runs/adapters/mine --arm few=base,prompt.template=few"
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,39}")
_SETTING = re.compile(r",(?=[a-z_]+(?:\.[a-z_]+)*=)")
_SHARED = ("seed", "task", "llm", "evaluation")
_IRRELEVANT = ("name", "candidates", "novelty", "learning")
_EPOCHS = 1


@dataclass(frozen=True)
class Option:
    """An `--arm` as it was given.

    Attributes:
        adapter: its folder, None for the frozen base.
        changes: `key=value` settings of its own.
    """

    name: str
    adapter: str | None
    changes: tuple[str, ...]


def parse(text: str) -> Option:
    """An `--arm` option. Raises: UserError."""
    head, *changes = _SETTING.split(text)
    name, equals, adapter = head.partition("=")
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name for an arm", where=f"--arm {text}", hint=_EXAMPLE)
    if not equals and name != BASE:
        hint = f"Give a folder, or {BASE}. {_EXAMPLE}"
        raise UserError(f"which adapter is {name!r}?", where=f"--arm {text}", hint=hint)
    if name == BASE and adapter not in ("", BASE):
        hint = "Call this arm otherwise"
        raise UserError(
            f"{BASE!r} is the model without an adapter", where=f"--arm {text}", hint=hint
        )
    return Option(name, adapter if equals and adapter != BASE else None, tuple(changes))


def options(texts: Sequence[str]) -> list[Option]:
    """All `--arm` options. Raises: UserError if two have one name, or there are none."""
    found = [parse(text) for text in texts]
    names = [option.name for option in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"two arms are called {twice!r}", where="--arm")
    if not found:
        raise UserError("no arm to compare", where="--arm", hint=_EXAMPLE)
    return found


def shared(settings: Config) -> Setting:
    """What all arms share, as it is recorded."""
    from nngpt.finetuning.compare.records import Setting

    identity = settings.identity()
    kept: dict[str, Any] = {key: identity[key] for key in _SHARED}
    kept["task"] = {k: v for k, v in kept["task"].items() if k not in ("dataset", "threshold")}
    kept["llm"] = {k: v for k, v in kept["llm"].items() if k != "adapter"}
    kept["evaluation"] = {k: v for k, v in kept["evaluation"].items() if k != "retrain"}
    return Setting(kept)


def for_arm(settings: Config, option: Option) -> Config:
    """The configuration of one arm.

    Raises:
        UserError: it changes what all arms must share.
    """
    from nngpt import config

    data = settings.model_dump(mode="json")
    where = f"--arm {option.name}"
    own = config.changed(data, [*option.changes, "llm.adapter=null"], where)
    if option.adapter is not None:
        llm = own.llm.model_copy(update={"adapter": Path(option.adapter)})
        own = own.model_copy(update={"llm": llm})
    before, after = shared(settings).settings, shared(own).settings
    if different := [key for key in _SHARED if before[key] != after[key]]:
        what = f"an arm cannot change {different[0]!r}, which all arms share"
        raise UserError(what, where=where, hint="Change it for all arms with --set")
    return own


def make_arms(
    settings: Config, given: Sequence[Option], sources: Sequence[DatasetSource]
) -> list[Arm]:
    """The arms with their prompts for all tasks.

    Raises:
        UserError: a template, setting or adapter is wrong, or the modes differ.
    """
    arms = [_make_arm(for_arm(settings, option), option, sources) for option in given]
    first = arms[0]
    for arm in arms:
        if arm.mode != first.mode:
            what = f"writes in {arm.mode} mode, but {first.name!r} in {first.mode} mode"
            raise UserError(what, where=f"--arm {arm.name}", hint="Compare each mode apart")
    return arms


def _make_arm(own: Config, option: Option, sources: Sequence[DatasetSource]) -> Arm:
    from nngpt.finetuning.compare.records import Arm, ArmFacts, Asked
    from nngpt.generation.contract import make_reader
    from nngpt.generation.models.adapters import starting_adapter
    from nngpt.records import Sampling

    adapter = starting_adapter(own)
    readers = {source.name: make_reader(own, source) for source in sources}
    prompts: dict[Any, list[str]] = {}
    for name, reader in readers.items():
        prompts.setdefault(reader.prompt, []).append(name)
    first = next(iter(readers.values()))
    facts = ArmFacts(
        name=option.name,
        adapter=_lineage(adapter) if adapter else None,
        mode=str(first.prompt.mode),
        template_hash=first.prompt.template_hash,
        settings=_own_settings(own),
    )
    asked = tuple(Asked(prompt, tuple(names)) for prompt, names in prompts.items())
    return Arm(facts, adapter, Sampling(**own.sampling.model_dump()), readers, asked)


def _own_settings(own: Config) -> dict[str, Any]:
    left_out = {*_SHARED, *_IRRELEVANT}
    return {key: value for key, value in own.identity().items() if key not in left_out}


def _lineage(adapter: Adapter) -> Mapping[str, Any]:
    """What is recorded of an adapter: where it came from, and which weights it has."""
    from nngpt.files import digest

    facts = asdict(adapter)
    weights = Path(adapter.path) / "adapter_model.safetensors"
    facts["sha256"] = digest(weights) if weights.is_file() else None
    return {key: value for key, value in facts.items() if key != "path"}
