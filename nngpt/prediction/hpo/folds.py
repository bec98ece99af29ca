"""Cross-validation folds of networks, frozen to a file with its own hash.

Chains of near-duplicates (lexical level) form one component and share a fold, so that no engine
learns from a near-duplicate of a network that it is tested on.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nngpt.errors import UserError
from nngpt.files import publish, read_object, scratch
from nngpt.prediction import groups
from nngpt.prediction.runs import History
from nngpt.records import canonical_json

COUNT = 10
_HINT = "Freeze them again: nngpt hpo bench --folds NEW-FILE"


@dataclass(frozen=True)
class NetworkFolds:
    """Near-duplicate component of each network, by its first member; fold of each component."""

    components: Mapping[str, str]
    folds: Mapping[str, int]

    @property
    def sha256(self) -> str:
        """Hash of the components and their folds."""
        content = [dict(sorted(self.components.items())), dict(sorted(self.folds.items()))]
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()

    def of(self, network: str) -> int:
        """Return the fold of a network. Raises: KeyError for an unknown network."""
        return self.folds[self.components[network]]


def make_folds(history: History) -> NetworkFolds:
    """Distribute networks' near-duplicate components to folds with similar numbers of trials."""
    trials = Counter(run.network for run in history.runs)
    components = groups.components({name: history.codes[name] for name in trials})
    rows = [components[name] for name in sorted(trials) for _ in range(trials[name])]
    folds = groups.folds(rows, COUNT)
    return NetworkFolds(components, dict(zip(rows, folds.tolist(), strict=True)))


def read_or_make_folds(history: History, path: Path | None) -> NetworkFolds:
    """Read networks' folds from a file; else make them, and write `path`. Raises: UserError."""
    if path is not None and path.exists():
        return read_folds(path)
    found = make_folds(history)
    if path is not None:
        write_folds(found, path)
    return found


def write_folds(found: NetworkFolds, path: Path) -> None:
    """Write the networks' folds and their hash to a file, atomically."""
    members = defaultdict(list)
    for network, component in sorted(found.components.items()):
        members[component].append(network)
    content = [[found.folds.get(name), *networks] for name, networks in members.items()]
    lines = ",\n".join(json.dumps(line) for line in content)
    with scratch(path) as folder:
        draft = folder / path.name
        draft.write_text(f'{{"sha256": "{found.sha256}",\n"components": [\n{lines}\n]}}\n')
        publish(draft, path)


def read_folds(path: Path) -> NetworkFolds:
    """Read the networks' folds from a file and verify their hash. Raises: UserError."""
    content = read_object(path)
    try:
        lines = [(fold, names) for fold, *names in content["components"]]
        found = NetworkFolds(
            {name: names[0] for _, names in lines for name in names},
            {names[0]: int(fold) for fold, names in lines if fold is not None},
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"holds no folds ({error})", where=str(path), hint=_HINT) from None
    if found.sha256 != content.get("sha256"):
        raise UserError("the folds were changed after freezing", where=str(path), hint=_HINT)
    return found
