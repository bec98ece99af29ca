"""MinHash signatures of the mirror's networks, to find those most similar to a given one.

A signature represents the set of a network's shingles; the share of equal numbers in two of them
estimates the Jaccard similarity of the sets, with a standard error of at most 0.5/√permutations.
The estimates propose networks, and the exact similarity decides. datasketch computes the
signatures (its version 2.0 changed the default scheme), so each is stored with its recipe:
signatures by different recipes cannot be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from datasketch import MinHash
from numpy.typing import NDArray
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from nngpt import plugins
from nngpt.config import NoveltyConfig
from nngpt.errors import StoreError
from nngpt.novelty.dedup.shingle_sets import Shingler, Shingles, jaccard
from nngpt.novelty.measures import minhash
from nngpt.store.database import Database
from nngpt.store.lemur.mirror import codes
from nngpt.store.lemur_tables import Signature, nn

_AT_ONCE = 200
_STANDARD_ERRORS = 4
_MOST_COMPARED = 1_000
_HINT = "Recompute them: nngpt lemur sign --fresh"

Progress = Callable[[int, int], None]
"""Called with the number of signed networks and their total."""


@dataclass(frozen=True)
class Recipe:
    """Parameters of MinHash signatures that comparable ones share.

    Attributes:
        scheme: hash scheme of datasketch.
        stream: tokens that are shingled: a level of `nngpt dedup`.
        shingle: tokens per shingle.
    """

    scheme: str
    seed: int
    permutations: int
    stream: str
    shingle: int

    def __str__(self) -> str:
        return (
            f"scheme {self.scheme}, seed {self.seed}, {self.permutations} permutations, "
            f"{self.shingle} {self.stream} tokens per shingle"
        )


@dataclass(frozen=True)
class Similar:
    """A network of the LEMUR mirror that is similar to the given one.

    Attributes:
        nn: name of the network.
        jaccard: exact Jaccard similarity of the shingles, 0…1.
        estimate: similarity estimated from the signatures, 0…1.
    """

    nn: str
    jaccard: float
    estimate: float


@dataclass(frozen=True)
class Neighbours:
    """The result of `nearest_networks`.

    Attributes:
        nearest: networks by exact similarity, highest first.
        signed: number of networks with a signature, which were searched.
        unsigned: number of networks without a signature, which were not.
        compared: number of networks compared exactly.
    """

    nearest: tuple[Similar, ...]
    signed: int
    unsigned: int
    compared: int


def recipe_of(config: NoveltyConfig) -> Recipe:
    """Return the recipe for new MinHash signatures."""
    options = minhash.Options()
    return Recipe(options.scheme, options.seed, options.permutations, "lexical", config.shingle)


def sign(
    database: Database, recipe: Recipe, fresh: bool = False, progress: Progress | None = None
) -> int:
    """Compute the mirror's missing MinHash signatures; `fresh` replaces all in one transaction.

    Returns:
        The number of new signatures. A killed command keeps those finished, unless `fresh`.

    Raises: StoreError if signatures by another recipe exist, and `fresh` is False.
    """
    with database.read() as session:
        if not fresh:
            _check_recipe(session, recipe, database)
        names = _names(session, unsigned=not fresh)
    batches = _signature_batches(database, recipe, names, progress)
    if fresh:
        _write(database, recipe, [row for batch in batches for row in batch], fresh)
    else:
        for batch in batches:
            _write(database, recipe, batch, fresh)
    return len(names)


def nearest_networks(database: Database, code: str, recipe: Recipe, top: int = 10) -> Neighbours:
    """Return the networks whose MinHash signatures are most similar to that of `code`.

    Networks are compared exactly in the order of their estimates, until an estimate is more than
    four standard errors below the least similar of the best `top`, or 1,000 were compared.

    Raises: StoreError if there are no signatures, or some by another recipe.
    """
    signer = _Signer(recipe)
    mine = signer.shingles(code)
    with database.read() as session:
        _check_recipe(session, recipe, database)
        estimates = _estimates(session, next(signer.signatures([mine])))
        if not estimates:
            hint = "Compute them: nngpt lemur sign"
            raise StoreError("no network has a signature", where=str(database.path), hint=hint)
        unsigned = len(_names(session, unsigned=True))
        found: list[Similar] = []
        proposed = sorted(estimates, key=lambda name: (-estimates[name], name))
        for start in range(0, min(len(proposed), max(top, _MOST_COMPARED)), _AT_ONCE):
            if estimates[proposed[start]] <= _cutoff(found, top, recipe):
                break
            texts = codes(session, nn, proposed[start : start + _AT_ONCE])
            for name, text in texts.items():
                likeness = jaccard(mine, signer.shingles(text))
                found.append(Similar(name, likeness, estimates[name]))
    found.sort(key=lambda one: (-one.jaccard, one.nn))
    return Neighbours(tuple(found[:top]), len(estimates), unsigned, len(found))


class _Signer:
    """Compute shingles and signatures by one recipe."""

    def __init__(self, recipe: Recipe) -> None:
        level = plugins.create("dedup level", recipe.stream)
        self.shingles: Callable[[str], Shingles] = Shingler(level, recipe.shingle).shingles
        self._recipe = recipe

    def signatures(self, sets: Iterable[Shingles]) -> Iterator[NDArray[np.uint32]]:
        """Yield `permutations` numbers for each set."""
        # A shingle is a digest already, so 32 of its bits serve as its hash.
        hashes = ((one & np.uint64(0xFFFFFFFF)).tolist() for one in sets)
        made = MinHash.generator(
            hashes,
            num_perm=self._recipe.permutations,
            seed=self._recipe.seed,
            scheme=self._recipe.scheme,
            hashfunc=int,
        )
        return (minhash.hashvalues.astype("<u4") for minhash in made)


def _estimates(session: Session, mine: NDArray[np.uint32]) -> dict[str, float]:
    """Return the share of numbers that each signature has in common with `mine`, by network."""
    rows = session.execute(select(Signature.nn, Signature.hashvalues)).all()
    values = np.frombuffer(b"".join(blob for _, blob in rows), dtype="<u4")
    shared = (values.reshape(len(rows), len(mine)) == mine).mean(axis=1)
    return dict(zip((name for name, _ in rows), shared.tolist(), strict=True))


def _signature_batches(
    database: Database, recipe: Recipe, names: Sequence[str], progress: Progress | None
) -> Iterator[list[dict[str, Any]]]:
    """Yield rows of the signature table, some hundreds at a time."""
    signer = _Signer(recipe)
    for start in range(0, len(names), _AT_ONCE):
        with database.read() as session:
            texts = codes(session, nn, names[start : start + _AT_ONCE])
        made = signer.signatures(map(signer.shingles, texts.values()))
        yield [
            {"nn": name, **asdict(recipe), "hashvalues": values.tobytes()}
            for name, values in zip(texts, made, strict=True)
        ]
        if progress is not None:
            progress(min(start + _AT_ONCE, len(names)), len(names))


def _write(database: Database, recipe: Recipe, rows: list[dict[str, Any]], fresh: bool) -> None:
    with database.write() as session:
        if fresh:
            session.execute(delete(Signature))
        # Another process may have written signatures meanwhile.
        _check_recipe(session, recipe, database)
        known = set(_names(session, unsigned=True))
        if wanted := [row for row in rows if row["nn"] in known]:
            session.execute(insert(Signature), wanted)


def _check_recipe(session: Session, recipe: Recipe, database: Database) -> None:
    """Check that all signatures are by this recipe. Raises: StoreError."""
    columns = [getattr(Signature, name) for name in asdict(recipe)]
    for made_by in session.execute(select(*columns).distinct()):
        if Recipe(*made_by) != recipe:
            what = f"its signatures were made with {Recipe(*made_by)}, not with {recipe}"
            raise StoreError(what, where=str(database.path), hint=_HINT)


def _names(session: Session, unsigned: bool) -> list[str]:
    """Return the sorted names of the networks, or of those without a signature."""
    query = select(nn.c.name).order_by(nn.c.name)
    if unsigned:
        query = query.where(nn.c.name.not_in(select(Signature.nn)))
    return list(session.scalars(query))


def _cutoff(found: Sequence[Similar], top: int, recipe: Recipe) -> float:
    """Return the estimate at or below which no better network is expected."""
    if len(found) < top:
        return 0.0
    least = sorted((one.jaccard for one in found), reverse=True)[top - 1]
    error = math.sqrt(least * (1 - least) / recipe.permutations)
    return max(0.0, least - _STANDARD_ERRORS * error)
