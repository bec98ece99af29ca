"""Libraries as sources (installed package, wheel, sdist, folder): open them, name modules.

Nothing is imported, built or run: files are listed, and each Python file is read on demand.
`modules` reports files that cannot be read or parsed.
"""

from __future__ import annotations

import errno
import importlib.metadata
import importlib.util
import os
import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from email.parser import Parser
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath

from nngpt.errors import UserError
from nngpt.files import read_member
from nngpt.retrieval import licences

_LARGEST = 16 << 20
_SKIPPED = {"test", "tests", "docs", "doc", "examples", "example", "build", "dist", "__pycache__"}


@dataclass(frozen=True)
class SourceFile:
    """One Python file of a source, read on demand.

    Attributes:
        module: dotted name.
        path: path inside the source.
        package: True for an `__init__.py`.
    """

    module: str
    path: str
    package: bool
    read: Callable[[], bytes] = field(repr=False, compare=False)


@dataclass(frozen=True)
class LibrarySource:
    """A package and its Python files.

    Attributes:
        name: name of the distribution or folder.
        version: version, or "".
        licence: an SPDX expression, or "NOASSERTION".
        kind: "installed", "wheel", "sdist" or "folder".
        files: module name → file, sorted.
    """

    name: str
    version: str
    licence: str
    kind: str
    files: Mapping[str, SourceFile] = field(repr=False)


ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz")


def open_source(what: str) -> LibrarySource:
    """Open a path (wheel, sdist, folder) or an installed package as a source.

    Raises: UserError if it does not exist, or contains no Python module.
    """
    path = Path(what)
    if what.endswith(".whl"):
        return _from_wheel(path)
    if what.endswith((".tar.gz", ".tgz", ".zip")):
        return _from_sdist(path)
    if path.is_dir():
        return from_folder(path)
    if os.sep in what or what.endswith(".py"):
        raise UserError("is not a folder, wheel or sdist", where=what)
    return _from_installed(what)


def _from_installed(name: str) -> LibrarySource:
    """Open an installed package as a source, without importing it. Raises: UserError if none."""
    hint = f"pip install --no-deps {name}, or give its wheel"
    missing = UserError("is not installed", where=name, hint=hint)
    metadata, top = Message(), name.replace("-", "_")
    with suppress(importlib.metadata.PackageNotFoundError, ValueError):  # on the path without it
        distribution = importlib.metadata.distribution(name)
        metadata = Parser().parsestr(distribution.read_text("METADATA") or "")
        top = _top_level(distribution) or top
    spec = None
    with suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(top)
    places = list(spec.submodule_search_locations or ()) if spec else []
    files: Iterable[SourceFile]
    if places:
        files = _on_disk(Path(places[0]), top)
    elif spec is not None and spec.origin is not None and spec.origin.endswith(".py"):
        files = _file(f"{top}.py", Path(spec.origin).read_bytes)
    else:
        raise missing
    version = str(metadata.get("Version", ""))
    return _source(name, version, licences.from_metadata(metadata), "installed", files)


def _top_level(distribution: importlib.metadata.Distribution) -> str:
    """Return the package with most of a distribution's Python files, else its module, or ""."""
    files = (path for path in distribution.files or () if path.suffix == ".py")
    names = (path.parts[0].removesuffix(".py") for path in files)
    found = Counter(name for name in names if name.isidentifier())
    return found.most_common(1)[0][0] if found else ""


def _from_wheel(path: Path) -> LibrarySource:
    """Open a wheel as a source, without unpacking it. Raises: UserError if it cannot be read."""
    names, read = open_archive(path)
    metadata = Parser().parsestr(_first(names, read, r"[^/]+\.dist-info/METADATA"))
    files = _members([n for n in names if ".dist-info/" not in n and ".data/" not in n], read)
    text = _first(names, read, r"[^/]+\.dist-info/(licenses/)?LICEN[CS]E[^/]*")
    return _source_with_metadata(path, metadata, text, "wheel", files)


def _from_sdist(path: Path) -> LibrarySource:
    """Open an sdist (`.tar.gz`, `.zip`) as a source, without unpacking. Raises: UserError."""
    names, read = open_archive(path)
    metadata = Parser().parsestr(_first(names, read, r"[^/]+/PKG-INFO"))
    inner = {n.partition("/")[2]: n for n in names if "/" in n}
    files = _members(inner, lambda name: read(inner[name]))
    text = _first(names, read, r"[^/]+/LICEN[CS]E[^/]*")
    return _source_with_metadata(path, metadata, text, "sdist", files)


def from_folder(path: Path) -> LibrarySource:
    """Open a checkout or a package's folder as a source. Raises: UserError if it has no module."""
    if not path.is_dir():
        raise UserError("is not a folder", where=str(path))
    root = path.resolve()
    files = _on_disk(root, root.name if (root / "__init__.py").exists() else "")
    texts = [p for p in sorted(root.glob("LICEN[CS]E*")) if p.is_file()]
    licence = licences.from_text(texts[0].read_text("utf-8", "replace")) if texts else "NOASSERTION"
    return _source(root.name, "", licence, "folder", files)


def module_name(path: str) -> str | None:
    """Return the module name of a library source's file below an import root, or None."""
    parts = list(PurePosixPath(path).with_suffix("").parts)
    if len(parts) > 1 and parts[0] == "src":
        parts = parts[1:]
    if parts and parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts) if parts and all(part.isidentifier() for part in parts) else None


def _on_disk(root: Path, prefix: str) -> Iterable[SourceFile]:
    """Yield the Python files below a folder; `prefix` is the package name of the folder, or ""."""
    for folder, folders, names in os.walk(root):
        top = Path(folder) == root and not prefix
        folders[:] = sorted(f for f in folders if f[0] != "." and not (top and f in _SKIPPED))
        for name in sorted(names):
            if name.endswith(".py"):
                file = Path(folder, name)
                inside = file.relative_to(root).as_posix()
                yield from _file(f"{prefix}/{inside}" if prefix else inside, file.read_bytes)


def _members(names: Iterable[str], read: Callable[[str], bytes]) -> Iterable[SourceFile]:
    for name in sorted(names):
        if name.endswith(".py") and name.split("/")[0] not in _SKIPPED:
            yield from _file(name, partial(read, name))


def _file(path: str, read: Callable[[], bytes]) -> Iterable[SourceFile]:
    module = module_name(path)
    if module is not None and path != "setup.py":
        yield SourceFile(module, path, path.endswith("__init__.py"), read)


def _source(
    name: str, version: str, licence: str, kind: str, files: Iterable[SourceFile]
) -> LibrarySource:
    listed: dict[str, SourceFile] = {}
    for file in files:
        if file.module not in listed or file.package:
            listed[file.module] = file
    if not listed:
        raise UserError("contains no Python module", where=name)
    return LibrarySource(name, version, licence, kind, dict(sorted(listed.items())))


def _source_with_metadata(
    path: Path, metadata: Message, text: str, kind: str, files: Iterable[SourceFile]
) -> LibrarySource:
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    name = str(metadata.get("Name", "")) or stem.split("-")[0]
    licence = licences.from_metadata(metadata)
    if licence == licences.UNKNOWN:
        licence = licences.from_text(text)
    return _source(name, str(metadata.get("Version", "")), licence, kind, files)


def _first(names: Iterable[str], read: Callable[[str], bytes], pattern: str) -> str:
    """Return the text of the first file in an archive whose name matches, "" if unreadable."""
    name = next((n for n in sorted(names) if re.fullmatch(pattern, n)), None)
    with suppress(OSError):
        return read(name).decode("utf-8", "replace") if name else ""
    return ""


def open_archive(path: Path) -> tuple[list[str], Callable[[str], bytes]]:
    """Open a wheel or an sdist as a source of files: their names, and how to read one.

    The function raises OSError for a member that cannot be unpacked.

    Raises: UserError if the archive cannot be read.
    """
    return _tar(path) if path.name.endswith((".tar.gz", ".tgz")) else _zip(path)


def _zip(path: Path) -> tuple[list[str], Callable[[str], bytes]]:
    def read(name: str) -> bytes:
        try:
            return read_member(archive, name, _LARGEST)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise OSError(errno.EIO, str(error)) from None

    if path.exists() and not path.is_file():
        raise UserError("is not a file", where=str(path))
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"cannot be read as an archive ({error})", where=str(path)) from None
    return [n for n in archive.namelist() if not n.endswith("/")], read


def _tar(path: Path) -> tuple[list[str], Callable[[str], bytes]]:
    try:
        with tarfile.open(path) as archive:
            # A compressed tar has no random access: keep its Python files and metadata.
            wanted = [m for m in archive if m.isfile() and _is_relevant(m.name)]
            kept = {m.name: (archive.extractfile(m) or BytesIO()).read(_LARGEST) for m in wanted}
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"cannot be read as an archive ({error})", where=str(path)) from None
    return list(kept), kept.__getitem__


def _is_relevant(name: str) -> bool:
    return name.endswith((".py", "PKG-INFO")) or "LICEN" in name.rsplit("/", 1)[-1].upper()
