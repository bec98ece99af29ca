"""Folds of the benchmark, frozen to a file that names its own hash.

Near-duplicates of the lexical level, chained, are one component and share a fold, so no engine
learns from a relative of the network that it is asked about.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nngpt.errors import UserError
from nngpt.files import publish, scratch
from nngpt.prediction import groups
from nngpt.records import canonical_json

COUNT = 10
_HINT = "Freeze them anew: nngpt hpo bench --folds NEW-FILE"


@dataclass(frozen=True)
class Folds:
    """Which networks are kept apart.

    Attributes:
        components: the near-duplicate component of each network, named by its first member.
        folds: the fold of each component, 0 to `COUNT` - 1.
    """

    components: Mapping[str, str]
    folds: Mapping[str, int]

    @property
    def sha256(self) -> str:
        """Hash of everything above."""
        content = [dict(sorted(self.components.items())), dict(sorted(self.folds.items()))]
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()

    def of(self, network: str) -> int:
        """The fold of a network. Raises: KeyError if it is not among them."""
        return self.folds[self.components[network]]


def make(codes: Mapping[str, str], trials: Mapping[str, int]) -> Folds:
    """Deal the components to folds with like numbers of trials.

    Args:
        codes: source of each network, by name.
        trials: how many trials each network has, by name.
    """
    components = groups.components(codes)
    rows = [components[name] for name in sorted(trials) for _ in range(trials[name])]
    dealt = groups.folds(rows, COUNT)
    return Folds(components, dict(zip(rows, dealt.tolist(), strict=True)))


def write(found: Folds, path: Path) -> None:
    """Write folds: the whole file appears, or nothing."""
    members: dict[str, list[str]] = {}
    for network, component in sorted(found.components.items()):
        members.setdefault(component, []).append(network)
    content = [[found.folds.get(name), *networks] for name, networks in members.items()]
    with scratch(path) as folder:
        draft = folder / path.name
        lines = ",\n".join(json.dumps(line) for line in content)
        draft.write_text(f'{{"sha256": "{found.sha256}",\n"components": [\n{lines}\n]}}\n')
        publish(draft, path)


def read(path: Path) -> Folds:
    """Read folds and check that nobody has changed them.

    Raises:
        UserError: the file cannot be read, is none of ours, or does not have the hash it names.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        lines = [(fold, names) for fold, *names in content["components"]]
        found = Folds(
            {name: names[0] for _, names in lines for name in names},
            {names[0]: int(fold) for fold, names in lines if fold is not None},
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"holds no folds ({error})", where=str(path), hint=_HINT) from None
    if found.sha256 != content.get("sha256"):
        raise UserError("the folds were changed after freezing", where=str(path), hint=_HINT)
    return found
