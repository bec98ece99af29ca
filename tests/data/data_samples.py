"""Small files in the official formats, and packages for the real pip."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from nngpt.data.source import DatasetSpec, FileSource
from nngpt.data.sources.mnist import NAMES

TRAIN, TEST = 40, 10


def images(count: int, channels: int = 3, side: int = 32, seed: int = 0) -> np.ndarray:
    """Return random images, uint8 [n, c, h, w]."""
    shape = (count, channels, side, side)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def labels(count: int, classes: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64) % classes


def idx(array: np.ndarray) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def matlab(**arrays: np.ndarray) -> bytes:
    """Return a MATLAB 5 file of uint8 arrays, each compressed, as in SVHN."""

    def element(kind: int, content: bytes) -> bytes:
        return struct.pack("<II", kind, len(content)) + content + b"\0" * (-len(content) % 8)

    data = b"made by a test".ljust(124) + b"\x00\x01IM"
    for name, array in arrays.items():
        short_name = struct.pack("<HH", 1, len(name)) + name.encode().ljust(4, b"\0")
        matrix = element(6, struct.pack("<II", 9, 0))
        matrix += element(5, np.array(array.shape, "<i4").tobytes()) + short_name
        matrix += element(2, array.astype(np.uint8).tobytes(order="F"))
        packed = zlib.compress(element(14, matrix))
        data += struct.pack("<II", 15, len(packed)) + packed
    return data


def mnist_files() -> dict[str, bytes]:
    arrays = (
        images(TRAIN, 1, 28)[:, 0],
        labels(TRAIN, 10),
        images(TEST, 1, 28, seed=1)[:, 0],
        labels(TEST, 10),
    )
    return {name: idx(array) for name, array in zip(NAMES, arrays, strict=True)}


def cifar_file(count: int, key: bytes, classes: int, seed: int = 0) -> bytes:
    rows = images(count, seed=seed).reshape(count, -1)
    return pickle.dumps({b"data": rows, key: labels(count, classes).tolist()}, protocol=2)


def cifar10_files() -> dict[str, bytes]:
    names = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]
    return {name: cifar_file(10, b"labels", 10, seed) for seed, name in enumerate(names)}


def cifar100_files() -> dict[str, bytes]:
    sizes = (("train", TRAIN), ("test", TEST))
    return {name: cifar_file(count, b"fine_labels", 100) for name, count in sizes}


def svhn_files() -> dict[str, bytes]:
    files = {}
    for name, count in (("train_32x32.mat", TRAIN), ("test_32x32.mat", TEST)):
        digits = labels(count, 10)
        ten_for_zero = np.where(digits == 0, 10, digits)[:, None]
        files[name] = matlab(X=images(count).transpose(2, 3, 1, 0), y=ten_for_zero)
    return files


def write_files(folder: Path, contents: Mapping[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return folder


def write_tarball(path: Path, inner: str, contents: Mapping[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in contents.items():
            entry = tarfile.TarInfo(f"{inner}/{name}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def write_pictures(root: Path, classes: tuple[str, ...] = ("cat", "dog"), each: int = 12) -> Path:
    for number, label in enumerate(classes):
        (root / label).mkdir(parents=True)
        for index, image in enumerate(images(each, 3, 20, seed=number)):
            picture = Image.fromarray(image.transpose(1, 2, 0))
            picture.save(root / label / f"{index}.{'png' if index else 'jpg'}")
    return root


def small(spec: DatasetSpec, contents: Mapping[str, bytes], root: Path | None) -> FileSource:
    """Return a source like the real one, with the checksums of `contents`."""
    checksums = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    official = replace(spec.official, checksums=checksums)
    return FileSource(replace(spec, official=official, sha256=None), root)


def gzipped(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(data) for name, data in contents.items()}


def write_wheel(folder: Path, name: str, version: str, contents: Mapping[str, bytes]) -> None:
    """Write a wheel that pip accepts, containing `contents`."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        for path, data in contents.items():
            wheel.writestr(path, data)
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
