"""How `--help` shows commands: labels of arguments, types of options, and examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "search": (
        "search my-images --minutes 20",
        "search cifar10 --minutes 60 --max-parameters 1e6 --out small",
    ),
    "generate": ("generate demo-mnist --count 4 --out networks",),
    "evaluate": ("evaluate network.py --set task.dataset=fashion-mnist",),
    "dedup": (
        "dedup networks",
        "dedup package.whl --report page.html",
        "dedup --explain A.py B.py",
    ),
    "predict": ("predict network.py --dataset cifar-10 --acc 0.42 --acc 0.51",),
    "cycle run": ("cycle run demo-mnist", "cycle run demo-mnist --set task.threshold=0.9 --fresh"),
    "cycle forecast": ("cycle forecast demo-mnist --cycles 20",),
    "cycle status": ("cycle status", "cycle status demo-mnist --json"),
    "cycle show": ("cycle show 12",),
    "cycle watch": ("cycle watch --open",),
    "cycle report": ("cycle report demo-mnist --best 10",),
    "cycle confirm": ("cycle confirm demo-mnist --epochs 20",),
    "cycle export": ("cycle export --best 3 --out networks",),
    "experiment run": ("experiment run controls-mnist --out results.md",),
    "experiment compare": ("experiment compare controls-mnist --figure results.png",),
    "models pull": ("models pull smollm2-135m",),
    "models export": ("models export smollm2-135m-lemur --out adapter",),
    "data pull": ("data pull cifar10", "data pull image-folder --root pictures"),
    "lemur query": ("lemur query --dataset cifar-10 --best --columns nn,accuracy,prm.lr",),
    "lemur similar": ("lemur similar network.py --top 5",),
    "lemur export": ("lemur export corpus --dataset mnist",),
    "corpus build": ("corpus build --out corpus --task mnist",),
    "learn sft": ("learn sft --corpus corpus/train.jsonl --dev corpus/dev.jsonl --name mine",),
    "learn compare": ("learn compare demo-mnist --arm base --arm mine=mine --out comparison",),
    "hpo predict": ("hpo predict network.py --dataset mnist --epochs 5",),
    "predictor eval": ("predictor eval --split family",),
    "rag index": ("rag index torchvision timm",),
    "rag search": ('rag search "channel attention" --top 5',),
    "rag extract": ("rag extract SqueezeExcitation --out block.py",),
}
"""Command → its examples, without `nngpt`."""


def tidy(command: Any, name: str) -> None:
    """Label a command's arguments in capitals, show no type of flags, and add its examples."""
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            parameter.metavar = parameter.metavar or parameter.name.upper()
        elif parameter.is_flag:
            parameter.metavar = ""
        elif parameter.metavar is None and (parameter.min, parameter.max) != (None, None):
            # The range itself is shown beside it.
            whole = "float" not in str(parameter.type_descriptor.annotation)
            parameter.metavar = "<int>" if whole else "<number>"
    lines = [f"nngpt {example}" for example in EXAMPLES.get(name, ())]
    if lines and not command.epilog:
        command.epilog = "\n".join(["Examples:" if len(lines) > 1 else "Example:", *lines])
