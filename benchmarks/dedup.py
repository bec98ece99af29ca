"""Deduplicate all of LEMUR: speed, exactness, and the number of unique networks.

OMP_NUM_THREADS=1 .venv/bin/python benchmarks/dedup.py speed [--nn-dup FOLDER]
OMP_NUM_THREADS=1 .venv/bin/python benchmarks/dedup.py uniques
OMP_NUM_THREADS=1 .venv/bin/python benchmarks/dedup.py estimate [--database FILE]

All read the wheel that `nngpt lemur pull` put into the cache, or `--wheel FILE`. With FOLDER, an
unpacked `nn-dup` wheel (pip download --no-deps nn-dup==2.2.4), nn-dup's own pipeline runs on the
first `--nn-dup-count` networks on the same machine. It gets one row per network; the rows of
`ab.nn.api.data(only_best_accuracy=True)` would be ten times as many. `estimate` compares the
decisions of `novelty.measure: jaccard` and `minhash`; with a database also in its runs (give a
copy: one of an older version is migrated).
"""

from __future__ import annotations

import argparse
import collections
import logging
import platform
import sys
import tempfile
import time
import types
import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from datasketch import MinHash, MinHashLSH

from nngpt import files, plugins
from nngpt.config import NoveltyConfig, changed, completed
from nngpt.cycle.parts import starting_point
from nngpt.data.loading import data_source
from nngpt.finetuning.corpus.networks import read_corpus
from nngpt.generation.contract import make_reader, novelty_text
from nngpt.generation.prompts.known import read_pool
from nngpt.novelty.dedup.collection import DedupOutcome, DedupSettings, Network
from nngpt.novelty.dedup.pipeline import deduplicate
from nngpt.novelty.dedup.shingle_sets import Shingler, Shingles
from nngpt.records import State
from nngpt.store import AttemptRecord, Store
from nngpt.store.lemur.mirror import family

THRESHOLD = 0.9
MEASURES = ("jaccard", "minhash")
STREAMS = ("raw", "lexical", "normalised")
THRESHOLDS = (0.85, 0.90, 0.93, 0.95, 0.97, 0.99, 1.0)


def main() -> None:
    """Print one of the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=["speed", "uniques", "estimate"])
    parser.add_argument("--wheel", type=Path, help="the corpus (default: in the cache)")
    parser.add_argument("--database", type=Path, help="database of runs, for `estimate`")
    parser.add_argument("--nn-dup", type=Path, help="folder of the unpacked nn-dup wheel")
    parser.add_argument("--nn-dup-count", type=int, default=1000, help="networks for nn-dup")
    given = parser.parse_args()
    wheel = given.wheel or next((files.cache_folder() / "lemur").rglob("*.whl"))
    print(f"{date.today()}, {platform.machine()}, Python {platform.python_version()}, one thread")
    started = time.perf_counter(), time.process_time()
    networks = read(wheel)
    print(f"read {len(networks):,} networks from {wheel.name}: {passed(started)}")
    if given.table == "estimate":
        estimates("LEMUR", [(network.name, network.code) for network in networks])
        if given.database:
            replay(given.database)
    elif given.table == "uniques":
        uniques(networks)
    else:
        speed(networks)
        if given.nn_dup:
            reference(networks[: given.nn_dup_count], given.nn_dup)


def read(wheel: Path) -> list[Network]:
    """Return LEMUR's networks without accuracies, so that they are kept in the order of names."""
    with zipfile.ZipFile(wheel) as archive:
        members = [n for n in archive.namelist() if n.startswith("ab/nn/nn/") and n[-3:] == ".py"]
        codes = {Path(n).stem: archive.read(n).decode() for n in members}
    return [Network(n, code, family(n)) for n, code in codes.items() if n != "__init__"]


def uniques(networks: list[Network]) -> None:
    """Print the number of networks kept at each threshold, for each stream of tokens."""
    print(f"threshold {' '.join(f'{name:>11}' for name in STREAMS)}")
    for threshold in THRESHOLDS:
        kept = [
            len(deduplicate(networks, DedupSettings(levels=(s,), threshold=threshold)).kept)
            for s in STREAMS
        ]
        print(f"{threshold:9.2f} {' '.join(f'{count:11,}' for count in kept)}", flush=True)
    for stream in STREAMS:
        chained(networks, stream)


def replay(database: Path) -> None:
    """Repeat the decisions of a database's runs, each arm's with what it knew then (`cycle.gates`).

    Known are the networks from before the run, what the arm admitted in earlier cycles, and what it
    has trained in this one.
    """
    with Store.open(database, create=False) as store:
        for run in store.runs():
            config = changed(completed(run.config), [], str(database))
            reader, quiet = make_reader(config, data_source(config)), lambda _line: None
            corpus, pool = read_corpus(config, reader, quiet), read_pool(config, reader, quiet)
            before = starting_point(config, reader, corpus, pool).novelty_texts
            for arm in store.arms(run.id):
                attempts = store.attempts(run.id, arm=arm, with_code=True)
                replay_arm(f"{run.name}, {arm}", attempts, before, config.novelty)


def replay_arm(
    title: str,
    attempts: Sequence[AttemptRecord],
    before: Mapping[str, str],
    settings: NoveltyConfig,
) -> None:
    """Print how often the measures decide differently, and how many stored decisions are those."""
    texts = {a.id: novelty_text(a.candidate) for a in attempts if a.candidate and a.evaluation}
    counts = collections.Counter[str]()
    for cycle in sorted({attempt.cycle for attempt in attempts}):
        admitted = [a for a in attempts if a.cycle < cycle and a.state is State.ADMITTED]
        measures = [plugins.create("novelty measure", m, settings) for m in MEASURES]
        for key, text in [*before.items(), *((f"attempt {a.id}", texts[a.id]) for a in admitted)]:
            for measure in measures:
                measure.add(key, text)
        for attempt in (a for a in attempts if a.cycle == cycle and a.id in texts):
            if attempt.novelty is not None:
                exact, guess = (measure.compare(texts[attempt.id]) for measure in measures)
                counts["decisions"] += 1
                counts["near-duplicates"] += exact.duplicate
                counts["missed"] += exact.duplicate and not guess.duplicate
                counts["refused wrongly"] += guess.duplicate and not exact.duplicate
                counts["just below"] += 0.85 < exact.jaccard <= THRESHOLD
                counts["as stored"] += (exact if settings.measure == MEASURES[0] else guess) == (
                    attempt.novelty
                )
            for measure in measures:
                measure.add(f"attempt {attempt.id}", texts[attempt.id])
    print(
        f"{title}: {counts['decisions']:,} decisions ({counts['as stored']:,} repeated as stored), "
        f"{len(before):,} networks known before; {counts['near-duplicates']:,} near-duplicates, of "
        f"which the estimate misses {counts['missed']:,}; it refuses {counts['refused wrongly']:,} "
        f"others; {counts['just below']:,} similarities in (0.85, 0.90]",
        flush=True,
    )


def estimates(name: str, networks: list[tuple[str, str]]) -> None:
    """Print how often the estimate decides otherwise than the exact similarity.

    The networks come one after another, and each is compared with those that the exact measure
    found to be no duplicates, as a run compares a candidate with those that it admitted.
    """
    exact, estimate = (plugins.create("novelty measure", m, NoveltyConfig()) for m in MEASURES)
    counts = collections.Counter[str]()
    spent = dict.fromkeys(MEASURES, 0.0)
    for key, text in networks:
        found = {}
        for measure, known in zip(MEASURES, (exact, estimate), strict=True):
            started = time.process_time()
            found[measure] = known.compare(text)
            spent[measure] += time.process_time() - started
        true, guess = (found[measure] for measure in MEASURES)
        counts["duplicates"] += true.duplicate
        counts["not proposed"] += true.duplicate and guess.nearest is None
        counts["missed"] += true.duplicate and not guess.duplicate
        counts["refused wrongly"] += guess.duplicate and not true.duplicate
        if not true.duplicate:
            exact.add(key, text)
            estimate.add(key, text)
    print(
        f"{name}: of {len(networks):,} networks {counts['duplicates']:,} are near-duplicates; the "
        f"estimate misses {counts['missed']:,} of them (LSH does not propose "
        f"{counts['not proposed']:,}) and refuses {counts['refused wrongly']:,} others. CPU ms a "
        "network: " + ", ".join(f"{m} {1000 * s / len(networks):.1f}" for m, s in spent.items())
    )


def chained(networks: list[Network], stream: str) -> None:
    """Print what remains if groups are linked through chains, as in nn-dup."""
    shingler = Shingler(plugins.load("dedup level", stream).create())
    alike = all_pairs([shingler.shingles(network.code) for network in networks])
    groups = np.full(len(networks), -1)
    for first in range(len(networks)):
        reached = [] if groups[first] >= 0 else [first]
        while reached:
            number = reached.pop()
            if groups[number] < 0:
                groups[number] = first
                reached += alike[number]
    kept: dict[int, list[int]] = collections.defaultdict(list)
    for number, group in enumerate(groups.tolist()):
        kept[group].append(number)
    singles = {members[0] for members in kept.values()}
    alone = sum(1 for number in range(len(networks)) if not alike[number] & singles)
    removed = len(networks) - len(singles)
    print(
        f"{stream}, chains of links at {THRESHOLD}: {len(kept):,} groups; one of each kept, ",
        end="",
    )
    print(
        f"{100 * alone / removed:.0f} % of the {removed:,} removed have no kept neighbour",
        flush=True,
    )


def speed(networks: list[Network]) -> None:
    """Print the speed of nngpt, of comparing all pairs, and of LSH, on the same shingles."""
    for levels in (("exact", "lexical"), ("exact", "normalised"), ("exact", "structural")):
        begun = time.process_time()
        outcome = deduplicate(networks, DedupSettings(levels=levels, threshold=THRESHOLD))
        seconds = time.process_time() - begun
        rate = len(networks) / seconds
        print(f"{' + '.join(levels):22} {seconds:6.1f} CPU s = {rate:5,.0f} networks/s, ", end="")
        print(f"kept {len(outcome.kept):,}", flush=True)
    outcome = deduplicate(networks, DedupSettings(levels=("lexical",), threshold=THRESHOLD))
    ordered = sorted(networks, key=lambda network: network.name)
    shingler = Shingler(plugins.load("dedup level", "lexical").create())
    sets = [shingler.shingles(network.code) for network in ordered]
    names = [network.name for network in ordered]
    removed = {r.network.name for r in outcome.removed}
    for title, pairs in (("all pairs, exact", all_pairs), ("datasketch LSH, exact", by_lsh)):
        begun = time.process_time()
        alike = pairs(sets)
        seconds = time.process_time() - begun
        theirs = set(greedily_removed(names, alike))
        if pairs is all_pairs:
            truth, edges = theirs, alike
        print(
            f"{title:22} {seconds:6.1f} CPU s without tokenising, kept {len(names) - len(theirs):,}"
        )
        print(f"  of the exact removals it finds {share(theirs & truth, truth)}; ", end="")
        print(f"of its removals {share(theirs & truth, theirs)} are exact", flush=True)
    print(f"ours: finds {share(removed & truth, truth)}, right {share(removed & truth, removed)}")
    print(f"  removed without a kept neighbour: {stranded(outcome, names, edges)}")


def all_pairs(sets: list[Shingles]) -> list[set[int]]:
    """Return the similar sets of each set, by multiplying sparse matrices."""
    sizes = np.array([len(one) for one in sets])
    _, columns = np.unique(np.concatenate(sets), return_inverse=True)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    ones = np.ones(len(columns), dtype=np.int32)
    matrix = scipy.sparse.csr_array((ones, columns, starts))
    turned = matrix.T.tocsr()
    found = []
    for row in range(0, len(sets), 200):
        shared = (matrix[row : row + 200] @ turned).tocsr()
        for offset in range(shared.shape[0]):
            part = slice(shared.indptr[offset], shared.indptr[offset + 1])
            others, count = shared.indices[part], shared.data[part]
            similarity = count / (sizes[row + offset] + sizes[others] - count)
            found.append(set(others[similarity > THRESHOLD].tolist()))
    return found


def by_lsh(sets: list[Shingles]) -> list[set[int]]:
    """Return the similar sets by datasketch's LSH at the papers' settings, verified exactly."""
    lsh = MinHashLSH(threshold=0.85, num_perm=256)
    low = [(one & np.uint64(0xFFFFFFFF)).tolist() for one in sets]
    signatures = MinHash.bulk(low, num_perm=256, seed=1, hashfunc=int, scheme="affine32")
    for number, signature in enumerate(signatures):
        lsh.insert(number, signature)
    found = []
    for number, signature in enumerate(signatures):
        mine = sets[number]
        alike = set()
        for other in lsh.query(signature):
            shared = len(np.intersect1d(mine, sets[other], assume_unique=True))
            if shared > THRESHOLD * (len(mine) + len(sets[other]) - shared):
                alike.add(other)
        found.append(alike)
    return found


def greedily_removed(names: list[str], alike: list[set[int]]) -> list[str]:
    """Return the names that are similar to one kept before them."""
    kept: set[int] = set()
    removed = []
    for number, others in enumerate(alike):
        if others & kept:
            removed.append(names[number])
        else:
            kept.add(number)
    return removed


def stranded(outcome: DedupOutcome, names: list[str], alike: list[set[int]]) -> str:
    """Return how many removed networks have no kept neighbour among the exact pairs."""
    number = {name: i for i, name in enumerate(names)}
    kept = {number[network.name] for network in outcome.kept}
    alone = [r for r in outcome.removed if not alike[number[r.network.name]] & kept]
    return f"{len(alone)} of {len(outcome.removed):,}"


def reference(networks: list[Network], folder: Path) -> None:
    """Print the time of nn-dup's own pipeline and of nngpt's on the same networks."""
    rows = [{"nn": n.name, "nn_code": n.code, "accuracy": 0.5} for n in networks]
    package, api = types.ModuleType("ab.nn"), types.ModuleType("ab.nn.api")
    api.data = lambda **_: pd.DataFrame(rows)  # type: ignore[attr-defined]
    package.api, package.__path__ = api, []  # type: ignore[attr-defined]
    sys.path.insert(0, str(folder))
    sys.modules.update({"ab.nn": package, "ab.nn.api": api})
    from ab.dup.preprocessing import curate_from_lemur  # type: ignore[import-not-found]

    quiet = logging.getLogger("nn-dup")
    quiet.setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as target:
        theirs = timed(lambda: curate_from_lemur(Path(target), logger=quiet))
    ours = timed(lambda: deduplicate(networks, DedupSettings(levels=("exact", "normalised"))))
    count = len(networks)
    print(
        f"nn-dup on {count:,}: {theirs:.1f} CPU s = {count / theirs:.0f} networks/s; ours ", end=""
    )
    print(f"(exact + normalised): {ours:.1f} CPU s = {count / ours:,.0f}: {theirs / ours:.0f} ×")


def timed(work: Callable[[], Any]) -> float:
    """Return the CPU seconds of a call."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def passed(started: tuple[float, float]) -> str:
    """Return the wall and CPU seconds since `started`."""
    wall, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
    return f"{wall:.1f} s, {cpu:.1f} CPU s"


def share(part: collections.abc.Set[str], whole: collections.abc.Set[str]) -> str:
    """Return a share in per cent with its counts."""
    return f"{100 * len(part) / len(whole):.2f} % ({len(part):,} of {len(whole):,})"


if __name__ == "__main__":
    main()
