"""Sealed memory, in which workers get their data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nngpt.sandbox import sealed_memory


@pytest.mark.parametrize("few", [64, 400, None])
def test_rows_are_copied_in_any_order(few: int | None) -> None:
    """With several chunks, and fewer rows than the array has."""
    rows = np.random.default_rng(1).integers(0, 256, (400, 1 << 16), dtype=np.uint8)
    order = None if few is None else np.random.default_rng(2).permutation(400)[:few]
    wanted = rows if order is None else rows[order]
    assert b"".join(sealed_memory.chunks(rows, order)) == wanted.tobytes()
    fd = sealed_memory.sealed("test", sealed_memory.chunks(rows, order))
    try:
        assert (sealed_memory.mapped(fd, wanted.shape, np.uint8) == wanted).all()
    finally:
        os.close(fd)


def open_now() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_a_failure_leaves_no_descriptor_open() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"1"
        raise ValueError("no more")

    before = open_now()
    with pytest.raises(ValueError, match="no more"):
        sealed_memory.sealed("test", chunks())
    assert open_now() == before
