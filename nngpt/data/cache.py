"""Prepared data sets: uint8 arrays on disk, memory-mapped.

    <cache>/data/<key>/
        train_x.npy  uint8 [n, c, h, w]      train_y.npy  int64 [n]
        test_x.npy   uint8 [n, c, h, w]      test_y.npy   int64 [n]
        meta.json    see `Meta`
        splits/      see `nngpt.data.splits`

A folder appears complete or not at all. Only its owner can read it, because it holds the labels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nngpt import files
from nngpt.errors import DataError
from nngpt.records import canonical_json

if TYPE_CHECKING:
    from nngpt.data.images import ImageFormat

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

ARRAYS = ("train_x", "train_y", "test_x", "test_y")


@dataclass(frozen=True)
class Arrays:
    """A whole data set: images uint8 [n, c, h, w], labels int64 [n]."""

    train_x: Images
    train_y: Labels
    test_x: Images
    test_y: Labels


@dataclass(frozen=True)
class Meta:
    """Content of a cached data set's `meta.json`.

    Attributes:
        shape: (c, h, w).
        source: origin of the files, for messages.
        sha256: array name → sha256 of its raw bytes.
        class_names: name of each class, () if they are unknown.
        image_format: how picture files became the images, None if there were none.
        validation: number of images at the end of `train_x` that are the data set's own validation
            part, 0 if it has none.
        images: number of training, validation and test images, 0 if it was not recorded.
        notes: what the user should know about the images, such as files that were left out.
    """

    name: str
    classes: int
    shape: tuple[int, int, int]
    source: str
    sha256: dict[str, str]
    class_names: tuple[str, ...] = ()
    image_format: ImageFormat | None = None
    validation: int = 0
    images: int = 0
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Sha256 that identifies all images and labels of the data set."""
        return hashlib.sha256(canonical_json(self.sha256).encode()).hexdigest()


def folder(key: str) -> Path:
    """Return the cache folder of the data set with this key, whether or not it exists."""
    return files.cache_folder() / "data" / key


def lock(key: str) -> AbstractContextManager[None]:
    """Return the lock to hold while writing a data set to the cache. Raises: DataError."""
    return files.locked(files.cache_folder() / "data" / f".{key}.lock")


def read_meta(key: str) -> Meta | None:
    """Return a cached data set's metadata, or None if it is not in the cache."""
    values = read_json(folder(key) / "meta.json")
    known = {field.name for field in fields(Meta)}
    needed = {field.name for field in fields(Meta) if field.default is MISSING}
    if values is None or not needed <= set(values) <= known:
        return None
    given: dict[str, Any] = {
        key: tuple(value) if type(value) is list else value for key, value in values.items()
    }
    if format := given.get("image_format"):
        from nngpt.data.images import ImageFormat

        given["image_format"] = ImageFormat(**{**format, "background": tuple(format["background"])})
    return Meta(**given)


def old_digests(root: Path | None) -> set[str]:
    """Return the digests of the data sets that an older nngpt cached from a folder of pictures.

    It knew neither class names nor a format of its images.
    """
    if root is None:
        return set()
    keys = (path.parent.name for path in folder("").glob("image-folder-*/meta.json"))
    found = (meta for meta in map(read_meta, keys) if meta and not meta.class_names)
    return {meta.digest for meta in found if meta.source == str(root.expanduser().resolve())}


def write(key: str, arrays: Arrays, meta: Meta) -> None:
    """Write a data set to the cache atomically; the caller holds `lock(key)`."""
    with _filling(key) as partial:
        _finish(key, partial, _save(partial, arrays, meta))


def prepare(key: str, make: Callable[[], tuple[Arrays, Meta]]) -> None:
    """Write to the cache the data set that `make` returns, unless an intact one is there."""
    prepare_files(key, lambda partial: _save(partial, *make()))


def prepare_files(key: str, fill: Callable[[Path], Meta]) -> None:
    """Write to the cache the arrays that `fill` puts into a folder, unless intact ones are there.

    `fill` may write them row by row (`writing_rows`), so that they need not fit into memory.

    Raises: UserError if the disk is full.
    """
    if intact(key):
        return
    with lock(key):
        if not intact(key):  # another process may have written it meanwhile
            with _filling(key) as partial:
                _finish(key, partial, fill(partial))


@contextmanager
def _filling(key: str) -> Iterator[Path]:
    with files.scratch(folder(key)) as partial, files.write_errors(folder(key)):
        yield partial


def _save(partial: Path, arrays: Arrays, meta: Meta) -> Meta:
    for name in ARRAYS:
        np.save(partial / f"{name}.npy", getattr(arrays, name))
    return meta


def _finish(key: str, partial: Path, meta: Meta) -> None:
    (partial / "meta.json").write_text(json.dumps(asdict(meta), indent=1))
    files.publish(partial, folder(key))


@contextmanager
def writing_rows(path: Path, shape: tuple[int, ...]) -> Iterator[Callable[[Images], None]]:
    """Yield a function that appends images, uint8 [n, *shape], to a data set's new array file."""
    count = 0
    with path.open("wb") as stream:

        def write_header() -> None:
            facts = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
            np.lib.format.write_array_header_1_0(stream, facts)

        def append(images: Images) -> None:
            nonlocal count
            stream.write(np.ascontiguousarray(images).data)
            count += len(images)

        write_header()
        begin = stream.tell()
        yield append
        stream.seek(0)
        write_header()  # as long as before: numpy leaves room for the number of rows
        assert stream.tell() == begin


def open_array(path: Path) -> npt.NDArray[Any]:
    """Memory-map an array of a cached data set, read-only.

    Raises: DataError if the file is missing or damaged.
    """
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise damaged(path, str(error)) from None
    return array


def verify(key: str, meta: Meta) -> None:
    """Compare the arrays of a cached data set with the checksums in its metadata.

    Raises: DataError if an array is missing or damaged.
    """
    for name in ARRAYS:
        path = folder(key) / f"{name}.npy"
        if array_digest(open_array(path)) != meta.sha256.get(name):
            raise damaged(path, "wrong checksum")


def intact(key: str) -> bool:
    """Return True if a data set is in the cache with matching checksums."""
    meta = read_meta(key)
    if meta is None:
        return False
    try:
        verify(key, meta)
    except DataError:
        return False
    return True


def array_digest(array: npt.NDArray[Any]) -> str:
    """Return the sha256 of a data set's array: its raw bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def digests(arrays: Arrays) -> dict[str, str]:
    """Return the sha256 of each array of a data set, by name."""
    return {name: array_digest(getattr(arrays, name)) for name in ARRAYS}


def open_arrays(partial: Path) -> Arrays:
    """Memory-map the arrays in the folder of a data set. Raises: DataError."""
    return Arrays(*(open_array(partial / f"{name}.npy") for name in ARRAYS))


def read_json(path: Path) -> Mapping[str, Any] | None:
    """Return the JSON object in a file of the data cache, None if it is missing or damaged."""
    try:
        values = files.parse_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def damaged(path: Path, why: str) -> DataError:
    """Return the error for a data set's cached file that cannot be used."""
    hint = f"Remove the folder {path.parent} and pull the data set again"
    return DataError(f"the cached file is damaged ({why})", where=str(path), hint=hint)
