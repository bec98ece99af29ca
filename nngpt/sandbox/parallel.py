"""Use all workers of an executor at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from nngpt.protocols import Executor

Key = TypeVar("Key")
Result = TypeVar("Result")


def run_parallel(
    executor: Executor, jobs: Mapping[Key, Callable[[], Result]]
) -> Iterator[tuple[Key, Result]]:
    """Run jobs that use the executor, as many at once as it has workers; yield key and result.

    Results come as soon as they are known. If a job or the caller fails, or the user interrupts,
    running trainings are stopped, and waiting jobs are dropped.
    """
    with ThreadPoolExecutor(executor.workers) as pool:
        keys = {pool.submit(job): key for key, job in jobs.items()}
        try:
            for future in as_completed(keys):
                yield keys[future], future.result()
        except BaseException:  # KeyboardInterrupt, say: the block must end at once
            pool.shutdown(wait=False, cancel_futures=True)
            executor.stop()
            raise
