"""Signatures: made by datasketch, stored with their recipe, never mixed, checked exactly."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasketch import MinHash
from mirror_samples import add_networks
from sqlalchemy import delete, select

from nngpt.config import NoveltyConfig
from nngpt.errors import StoreError
from nngpt.novelty.shingles import jaccard, shingles
from nngpt.novelty.signatures import Recipe, nearest_networks, recipe_of, sign
from nngpt.store import Store
from nngpt.store.lemur_tables import Signature, nn

RECIPE = recipe_of(NoveltyConfig())
FOLDER = Path(__file__).parents[2] / "networks"
PLAIN, *OTHERS = (
    path.read_text() for path in sorted(FOLDER.glob("*.py"), key=lambda p: p.stem != "plain")
)
NETWORKS = {
    "plain": PLAIN,
    "plain-numbers": PLAIN.replace("64", "96") + "# the same but for a number\n",
    "plain-pool": PLAIN.replace("MaxPool2d", "AvgPool2d"),
    "empty": "",
    **{f"other-{place}": code for place, code in enumerate(OTHERS)},
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "nngpt.db") as opened:
        with opened.database.write() as session:
            add_networks(session, NETWORKS)
        yield opened


def _rows(store: Store) -> dict[str, Signature]:
    with store.database.read() as session:
        rows = session.scalars(select(Signature)).all()
        session.expunge_all()
    return {row.nn: row for row in rows}


def test_each_network_is_signed_once_and_by_the_stored_recipe(store: Store) -> None:
    told: list[tuple[int, int]] = []
    count = len(NETWORKS)
    assert sign(store.database, RECIPE, progress=lambda *at: told.append(at)) == count
    assert told == [(count, count)]
    rows = _rows(store)
    assert rows.keys() == NETWORKS.keys()
    made_by = {Recipe(r.scheme, r.seed, r.permutations, r.stream, r.shingle) for r in rows.values()}
    assert made_by == {Recipe("affine32", 1, 256, "lexical", 10)}
    assert sign(store.database, RECIPE) == 0
    with store.database.write() as session:
        add_networks(session, {"new": "class Net: pass"})
    assert sign(store.database, RECIPE) == 1


def test_signatures_equal_datasketchs_and_estimate_similarity(store: Store) -> None:
    sign(store.database, RECIPE)
    minhashes = {
        name: MinHash(
            hashvalues=np.frombuffer(row.hashvalues, dtype="<u4"), scheme=row.scheme, seed=row.seed
        )
        for name, row in _rows(store).items()
    }
    sets = {name: shingles(code) for name, code in NETWORKS.items()}
    for name in NETWORKS:
        assert len(minhashes[name]) == RECIPE.permutations
        estimate = minhashes["plain"].jaccard(minhashes[name])
        # Five standard errors at most.
        assert estimate == pytest.approx(jaccard(sets["plain"], sets[name]), abs=0.16)


@pytest.mark.parametrize("name", ["plain", "plain-pool", "other-0", "other-3", "empty"])
def test_nearest_networks_are_ranked_by_exact_similarity(store: Store, name: str) -> None:
    sign(store.database, RECIPE)
    found = nearest_networks(store.database, NETWORKS[name], RECIPE, top=4)
    mine = shingles(NETWORKS[name])
    exact = sorted((jaccard(mine, shingles(code)) for code in NETWORKS.values()), reverse=True)
    assert [one.jaccard for one in found.nearest] == pytest.approx(exact[:4])
    assert found.nearest[0].estimate == 1.0
    assert (found.signed, found.unsigned) == (len(NETWORKS), 0)


def test_networks_without_signature_are_counted(store: Store) -> None:
    sign(store.database, RECIPE)
    with store.database.write() as session:
        session.execute(delete(Signature).where(Signature.nn.in_(["plain", "empty"])))
    found = nearest_networks(store.database, PLAIN, RECIPE)
    assert found.nearest[0].nn == "plain-numbers"
    assert (found.signed, found.unsigned) == (len(NETWORKS) - 2, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"scheme": "legacy"},
        {"seed": 2},
        {"permutations": 128},
        {"stream": "raw"},
        {"shingle": 7},
    ],
    ids=lambda change: next(iter(change)),
)
def test_recipes_are_never_mixed(store: Store, change: dict[str, Any]) -> None:
    other = dataclasses.replace(RECIPE, **change)
    sign(store.database, other)
    with store.database.write() as session:
        add_networks(session, {"new": "class Net: pass"})
    for refused in (sign, lambda *given: nearest_networks(given[0], PLAIN, given[1])):
        with pytest.raises(StoreError, match=r"made with .*, not with .* sign --fresh$"):
            refused(store.database, RECIPE)
    assert "new" not in _rows(store)
    assert sign(store.database, RECIPE, fresh=True) == len(NETWORKS) + 1
    assert nearest_networks(store.database, PLAIN, RECIPE).nearest[0].jaccard == 1.0


def test_a_recipe_changed_by_another_process_is_refused(store: Store) -> None:
    """Another process signs with another recipe while this one works."""
    other = dataclasses.replace(RECIPE, seed=2)
    with store.database.write() as session:
        add_networks(session, {f"more-{i}": f"class Net: n = a{i}" for i in range(300)})

    def interrupt(done: int, total: int) -> None:
        if done < total:
            sign(store.database, other, fresh=True)

    with pytest.raises(StoreError, match="seed 2"):
        sign(store.database, RECIPE, progress=interrupt)
    assert {row.seed for row in _rows(store).values()} == {2}


def test_without_signatures_the_hint_is_to_compute_them(store: Store) -> None:
    with pytest.raises(StoreError, match=r"no network has a signature.*nngpt lemur sign"):
        nearest_networks(store.database, PLAIN, RECIPE)


def test_deleting_a_network_deletes_its_signature(store: Store) -> None:
    sign(store.database, RECIPE)
    with store.database.write() as session:
        session.execute(delete(nn).where(nn.c.name == "plain"))
    assert "plain" not in _rows(store)
