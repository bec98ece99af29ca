"""Read the file formats of data sets, without ever running code from a file.

All functions take bytes and return images uint8 [n, c, h, w] or labels int64 [n]. They raise
`nngpt.errors.DataError` if the bytes are not in the format.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from nngpt.data.cache import Images, Labels
from nngpt.errors import DataError

_BAD_BYTES: tuple[type[Exception], ...] = (
    *(ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError, OverflowError),
    *(pickle.UnpicklingError, zlib.error, struct.error),
)
_MATLAB_NUMBERS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8"}
_MATLAB_MATRIX, _MATLAB_COMPRESSED = 14, 15


def idx_images(data: bytes) -> Images:
    """Return the images of an IDX3 file (MNIST's format): [n, h, w] → [n, 1, h, w]."""
    return _idx(data, dimensions=3)[:, None]


def idx_labels(data: bytes) -> Labels:
    """Return the labels of an IDX1 file (MNIST's format)."""
    return _idx(data, dimensions=1).astype(np.int64)


def cifar_batch(data: bytes, labels_key: bytes, side: int = 32) -> tuple[Images, Labels]:
    """Return images and labels of a CIFAR file (python version), a pickled dictionary.

    Only the types that such a file consists of are unpickled; all others are refused.
    """
    with _reporting_format("CIFAR"):
        batch = _ArraysOnly(io.BytesIO(data), encoding="bytes").load()
        images = np.ascontiguousarray(batch[b"data"], dtype=np.uint8)
        labels = np.asarray(batch[labels_key], dtype=np.int64)
        return images.reshape(len(labels), 3, side, side), labels


def matlab(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the numeric arrays of a MATLAB 5 file by name, in MATLAB's axis order (SVHN)."""
    with _reporting_format("MATLAB"):
        if data[124:128] != b"\x00\x01IM":
            raise ValueError("no MATLAB 5 header")
        found = {}
        for kind, content in _matlab_elements(data[128:]):
            if kind == _MATLAB_COMPRESSED:
                ((kind, content),) = _matlab_elements(zlib.decompress(content))
            if kind == _MATLAB_MATRIX:
                name, array = _matlab_matrix(content)
                found[name] = array
        return found


def svhn(data: bytes) -> tuple[Images, Labels]:
    """Return images and labels of an SVHN file; MATLAB's class 10 is the digit 0."""
    arrays = matlab(data)
    with _reporting_format("SVHN"):
        images = np.ascontiguousarray(arrays["X"].transpose(3, 2, 0, 1), dtype=np.uint8)
        labels = arrays["y"].reshape(-1).astype(np.int64) % 10
        return images.reshape(len(labels), *images.shape[1:]), labels


def png_rows(data: bytes, side: int = 32) -> Images:
    """Return the images of a data set's PNG with one image per row, pixel after pixel."""
    from PIL import Image

    # Pillow's UnidentifiedImageError is an OSError.
    with _reporting_format("PNG", OSError, SyntaxError):
        with Image.open(io.BytesIO(data)) as picture:
            rows = np.asarray(picture.convert("RGB"), dtype=np.uint8)
        images = rows.reshape(-1, side, side, 3).transpose(0, 3, 1, 2)
        return np.ascontiguousarray(images)


def json_labels(data: bytes) -> Labels:
    """Return the labels of a data set's JSON list."""
    with _reporting_format("JSON"):
        return np.array(json.loads(data), dtype=np.int64).reshape(-1)


class _ArraysOnly(pickle.Unpickler):
    """Unpickle only the parts of a numpy array."""

    def find_class(self, module: str, name: str) -> Any:
        modern = module.replace("numpy.core", "numpy._core")
        if (modern, name) == ("numpy._core.multiarray", "_reconstruct"):
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        if (modern, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        if (modern, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it contains {module}.{name}")


def _idx(data: bytes, dimensions: int) -> npt.NDArray[np.uint8]:
    with _reporting_format("IDX"):
        if data[:4] != bytes((0, 0, 8, dimensions)):
            raise ValueError("wrong first bytes")
        shape = struct.unpack(f">{dimensions}I", data[4 : 4 + 4 * dimensions])
        return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _matlab_elements(data: bytes) -> list[tuple[int, bytes]]:
    """Return (type, content) of each element.

    Its tag has 8 bytes, or 4 bytes with the content inside.
    """
    elements, at = [], 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if kind >> 16:
            kind, size, begin = kind & 0xFFFF, kind >> 16, at + 4
            at += 8
        else:
            begin = at + 8
            padded = size if kind == _MATLAB_COMPRESSED else -(-size // 8) * 8
            at = begin + padded
        if begin + size > len(data):
            raise ValueError("unexpected end of file")
        elements.append((kind, data[begin : begin + size]))
    return elements


def _matlab_matrix(data: bytes) -> tuple[str, npt.NDArray[Any]]:
    _flags, (_, dimensions), (_, name), (number, content), *_rest = _matlab_elements(data)
    shape = np.frombuffer(dimensions, "<i4")
    array = np.frombuffer(content, _MATLAB_NUMBERS[number]).reshape(shape, order="F")
    return name.decode("ascii"), array


@contextmanager
def _reporting_format(format_name: str, *more: type[Exception]) -> Iterator[None]:
    try:
        yield
    except _BAD_BYTES + more as error:
        raise DataError(f"not a {format_name} file: {error}") from None
