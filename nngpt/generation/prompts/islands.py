"""Islands: separate populations of a run's networks, from which its batches are asked in turn.

A batch's island follows from its number, so no attempt needs to store it. Every `migrate_every`
cycles the best network of each island joins the next island (`prompt.islands`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nngpt.generation.prompts.known import KnownNetwork


def populations(
    admitted: Sequence[KnownNetwork],
    count: int,
    island: Callable[[KnownNetwork], int],
    migrations: Iterable[int],
) -> list[list[KnownNetwork]]:
    """Return the networks of each island: those written there, then those that have joined it.

    Args:
        admitted: networks that the run admitted in earlier cycles.
        count: number of islands.
        island: returns the number, from 0, of the island where a network was written.
        migrations: cycles after which the best networks moved on, in order.
    """
    joined: list[list[KnownNetwork]] = [[] for _ in range(count)]

    def living(number: int, cycle: float) -> list[KnownNetwork]:
        own = (one for one in admitted if island(one) == number and one.cycle <= cycle)
        return [*own, *joined[number]]

    for cycle in migrations:
        there = [living(number, cycle) for number in range(count)]
        for number, networks in enumerate(there):
            best = max(networks, key=lambda one: one.accuracy, default=None)
            target = (number + 1) % count
            if best is not None and best not in there[target]:
                joined[target].append(best)
    return [living(number, float("inf")) for number in range(count)]
