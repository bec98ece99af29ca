"""Sample networks: families of similar variants, and dissimilar ones."""

from __future__ import annotations

from pathlib import Path

from nngpt.novelty.dedup.collection import (
    FAMILY_CAP,
    Collection,
    DedupOutcome,
    DedupSettings,
    Network,
    Removed,
)

LAYERS = ("Conv2d(3, {0}, 3)", "BatchNorm2d({0})", "ReLU()", "MaxPool2d(2)", "Dropout2d(0.{0})")


def code(width: int, *extra: str, blocks: int = 8) -> str:
    """Return a network of about 600 tokens; `width` changes numbers, `extra` adds layers."""
    lines = ["import torch", "import torch.nn as nn", "", "class Net(nn.Module):"]
    lines.append("    def __init__(self, in_shape, out_shape, prm, device):")
    lines.append("        super().__init__()")
    for block in range(blocks):
        for number, layer in enumerate(LAYERS):
            lines.append(f"        self.b{block}_{number} = nn.{layer.format(width)}")
    lines += [f"        self.x{n} = nn.{layer}" for n, layer in enumerate(extra)]
    lines += ["", "    def forward(self, x):", "        return self.b0_0(x)"]
    return "\n".join(lines) + "\n"


def other(word: str) -> str:
    """Return a network that is similar to no other."""
    lines = [f"def {word}_{n}({word}, at{n}): return {word}[{n}] ** at{n}" for n in range(20)]
    return "\n".join(["class Net(nn.Module): pass", *lines]) + "\n"


def write_collection(root: Path) -> None:
    """Write three variants of one network in two folders, an exact copy, and two others."""
    (root / "sub").mkdir(parents=True)
    (root / "ga-1.py").write_text(code(16))
    (root / "ga-2.py").write_text(code(16, "Tanh()"))
    (root / "sub" / "ga-3.py").write_text(code(32))
    (root / "sub" / "copy-1.py").write_text(code(16).replace("\n\n", "\n\n\n"))
    (root / "rag-1.py").write_bytes(other("pool").replace("\n", "\r\n").encode())
    (root / "sub" / "rag-2.py").write_text(other("gate"))


def outcome_of(
    kept: list[Network], removed: list[Removed], settings: DedupSettings | None = None
) -> tuple[Collection, DedupSettings, DedupOutcome]:
    """Return the arguments of the report and the outputs."""
    networks = (*kept, *(r.network for r in removed))
    outcome = DedupOutcome(tuple(kept), tuple(removed), {}, {"exact": 0.25, "choosing": 0.5})
    return Collection(networks), settings or DedupSettings(), outcome


def small_outcome() -> tuple[Collection, DedupSettings, DedupOutcome]:
    """Return a group of three, a single network, and one beyond the family cap."""
    best = Network("ga-1", code(16), "ga", 0.9, "here")
    alone = Network("rag-1", other("pool"), "rag", 0.8, "here")
    twin = Removed(Network("ga-2", code(16), "ga", 0.7, "here"), "exact", "ga-1", 1.0)
    near = Removed(Network("ga-3", code(16, "Tanh()"), "ga", None), "lexical", "ga-1", 0.95)
    beyond = Removed(Network("rag-2", other("gate"), "rag", 0.1), FAMILY_CAP, None, None)
    return outcome_of([best, alone], [twin, near, beyond], DedupSettings(per_family=1))
