"""Comparison records made by hand, with answers whose figures are known."""

from __future__ import annotations

from collections.abc import Sequence

from nngpt.finetuning.compare.corpus import ReferenceCorpus
from nngpt.finetuning.compare.records import (
    CHECK,
    TRAIN,
    ArmFacts,
    Line,
    Sample,
    SampleOutcome,
    Session,
    SharedSettings,
)
from nngpt.records import Refusal, Stage

MACHINE = {"cpu": "a CPU", "cores": 2, "gpu": None, "versions": {"nngpt": "0"}}
ADAPTER = {"name": "mine-1-c1", "base": "smollm2-135m", "sha256": "0" * 64}
NO_CODE = Refusal(Stage.PARSE, "the answer has no code block")
PROMPT = "p" * 12


def layers(*widths: int, activation: str = "ReLU") -> str:
    """A layer list as `features` mode writes it: a convolution and an activation for each width."""
    lines = [f"    nn.LazyConv2d({w}, 3),\n    nn.{activation}(),\n" for w in widths]
    return "nn.Sequential(\n" + "".join(lines) + ")"


def arm(name: str, adapter: bool = False, **sampling: float) -> ArmFacts:
    """An arm; without an adapter it is the base model."""
    settings = {"prompt": {"template": "features"}, "sampling": {"temperature": 0.5, **sampling}}
    return ArmFacts(name, ADAPTER if adapter else None, "features", "t" * 16, settings)


def session(
    *arms: str, samples: int, how: str, tasks: tuple[str, ...] = ("mnist", "cifar10")
) -> Session:
    """A start of the command."""
    prompts = {name: {PROMPT: list(tasks)} for name in arms}
    return Session("2026-11-24T12:00:00+00:00", "nngpt …", samples, how, tasks, prompts, MACHINE)


def sample(of: str, index: int, network: str, shown: bool = False) -> Sample:
    """An answer; "" for one that the contract refuses."""
    return Sample(
        arm=of,
        asked=PROMPT,
        tasks=("mnist", "cifar10"),
        index=index,
        batch=index // 4,
        size=4,
        seed=1,
        text=network or "Sorry.",
        prompt_tokens=10,
        tokens=20,
        seconds=0.5,
        finished=bool(network),
        refusal=None if network else NO_CODE,
        hash=network,
        network=network,
        shown=shown,
    )


def checked(of: str, index: int, runs: bool = True, task: str = "mnist") -> SampleOutcome:
    """Outcome of a step on noise."""
    refusal = None if runs else Refusal(Stage.BUILD, "too large")
    return SampleOutcome(of, PROMPT, index, CHECK, task, 10, str(index), refusal)


def trained(of: str, index: int, accuracy: float | None, task: str = "mnist") -> SampleOutcome:
    """Outcome of an epoch; None for a network that does not train."""
    refusal = Refusal(Stage.TRAIN, "diverged") if accuracy is None else None
    return SampleOutcome(
        of, PROMPT, index, TRAIN, task, 10, str(index), refusal, accuracy, 1000, 5, 1.0
    )


def answers(of: str, networks: Sequence[str]) -> list[Line]:
    """One answer for each network."""
    return [sample(of, index, network) for index, network in enumerate(networks)]


def corpus(*networks: str) -> ReferenceCorpus:
    """A training corpus."""
    return ReferenceCorpus(
        ("corpus.jsonl",), "0" * 64, 0, {f"{i} (x)": n for i, n in enumerate(networks)}
    )


SETTING = SharedSettings({"seed": 1, "llm": {"model": "smollm2-135m", "batch_size": 4}})
