"""Sealed anonymous memory, in which workers get their data.

A descriptor of such memory has no path that leads to the data cache, where the validation labels
are. The memory is freed with its last descriptor, and being sealed it cannot be changed even by
its holders. Workers map it privately, so a candidate that changes its data harms only itself.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_CHUNK_BYTES = 8 << 20


def sealed(name: str, chunks: Iterable[Any]) -> int:
    """Copy contiguous buffers to sealed memory one after another; return its descriptor.

    Raises: OSError if there is not enough memory.
    """
    fd = os.memfd_create(name, os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    try:
        for chunk in chunks:
            data = memoryview(chunk).cast("B")
            while data:
                data = data[os.write(fd, data) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def reopened(fd: int) -> int:
    """Return a read-only descriptor of the same sealed memory, with an offset of its own."""
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)


def chunks(array: npt.NDArray[Any], order: npt.NDArray[np.int64] | None = None) -> Iterator[Any]:
    """Yield the rows of `array`, in `order`, in contiguous pieces of a few MiB to be sealed."""
    step = max(1, _CHUNK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array if order is None else order), step):
        rows = slice(start, start + step)
        yield np.ascontiguousarray(array[rows] if order is None else array[order[rows]])


def mapped(fd: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return the sealed memory behind `fd` as a writable copy-on-write array."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    return np.frombuffer(memory, dtype).reshape(shape)


def tail(fd: int, size: int) -> str:
    """Return the last `size` bytes of the anonymous memory behind `fd` as text."""
    start = max(0, os.fstat(fd).st_size - size)
    return os.pread(fd, size, start).decode(errors="replace")
