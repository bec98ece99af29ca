"""Read the files of a LEMUR package from a folder or an archive.

Both readers list the paths below `ab/nn`, and refuse single files that cannot be read. Links to
folders are not followed, so loops of links are harmless.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from nngpt import files
from nngpt.errors import DataError
from nngpt.store.lemur.records import BrokenFile

PACKAGE = ("ab", "nn")
_LARGEST = 64 << 20
_LOCAL_HEADER = struct.Struct("<4s2xHH16xHH")
_ENCRYPTED = 1
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError)
NO_PACKAGE = "Give a folder or archive that contains ab/nn, or LEMUR's database ab.nn.db"


class FolderContainer:
    """Files of a LEMUR package in a folder, checkout or `ab/nn`. Raises: DataError: no package.

    Attributes:
        name: path of the folder.
        sha256: None; an archive has a hash.
        paths: paths of all files, relative to `ab/nn`.
        unreadable: path → reason, of entries that are not readable files.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.sha256: str | None = None
        self._root = _package_folder(path)
        self.paths: list[str] = []
        self.unreadable: dict[str, str] = {}
        self._list("")

    def read(self, path: str) -> bytes:
        """Return the content of a file. Raises: BrokenFile: unreadable, or over 64 MiB."""
        try:
            with (self._root / path).open("rb") as file:
                data = file.read(_LARGEST + 1)
        except OSError as error:
            raise BrokenFile(f"cannot be read ({error.strerror})") from None
        if len(data) > _LARGEST:
            raise BrokenFile(f"is larger than {_LARGEST >> 20} MiB")
        return data

    def close(self) -> None:
        """Do nothing: no file of the package is open."""

    def _list(self, below: str) -> None:
        try:
            with os.scandir(self._root / below) as entries:
                found = list(entries)
        except OSError as error:
            self.unreadable[below] = f"cannot be read ({error.strerror})"
            return
        for entry in found:
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                self._list(path)
            elif reason := _refusal_reason(entry):
                self.unreadable[path] = reason
            else:
                self.paths.append(path)


class ZipContainer:
    """Files of a LEMUR package in a wheel or zip, with the interface of `FolderContainer`.

    Raises:
        DataError: damaged, or no package inside.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        try:
            self.sha256: str | None = files.digest(path)
            self._file = path.open("rb")
            self._zip = zipfile.ZipFile(self._file)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise DataError(f"cannot be read ({error})", where=str(path)) from None
        names = [info for info in self._zip.infolist() if not info.is_dir()]
        root = _package_prefix([info.filename for info in names])
        if root is None:
            self.close()
            raise DataError("contains no LEMUR package", where=str(path), hint=NO_PACKAGE)
        inside = (info for info in names if info.filename.startswith(root))
        self._members = {info.filename.removeprefix(root): info for info in inside}
        self.paths = list(self._members)
        self.unreadable: dict[str, str] = {}

    def read(self, path: str) -> bytes:
        """Return the content of a member. Raises: BrokenFile: damaged, or over 64 MiB."""
        member = self._members[path]
        if member.file_size > _LARGEST:
            raise BrokenFile(f"is larger than {_LARGEST >> 20} MiB")
        try:
            return self._content(member)
        except (*_DAMAGED, OSError, RuntimeError) as error:
            # RuntimeError: encrypted; its subclass NotImplementedError: unknown compression.
            raise BrokenFile(f"is damaged ({error})") from None

    def close(self) -> None:
        """Close the archive of the package."""
        self._file.close()

    def _content(self, member: zipfile.ZipInfo) -> bytes:
        """Return a member's bytes, several times faster than `ZipFile.read`."""
        self._file.seek(member.header_offset)
        header = self._file.read(_LOCAL_HEADER.size)
        magic, flags, method, name_size, extra_size = _LOCAL_HEADER.unpack(header)
        if magic != b"PK\3\4" or flags & _ENCRYPTED or method != zipfile.ZIP_DEFLATED:
            return self._zip.read(member)
        self._file.seek(name_size + extra_size, os.SEEK_CUR)
        packed = self._file.read(member.compress_size)
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.file_size + 1)
        if len(data) != member.file_size or zlib.crc32(data) != member.CRC:
            raise zipfile.BadZipFile("wrong checksum")
        return data


def _package_folder(path: Path) -> Path:
    for folder in (path.joinpath(*PACKAGE), path):
        if (folder / "nn").is_dir() or (folder / "stat").is_dir():
            return folder
    raise DataError("contains no LEMUR package", where=str(path), hint=NO_PACKAGE)


def _package_prefix(names: list[str]) -> str | None:
    """Return the archive's `…/ab/nn/` folder nearest to the root, or None."""
    inside = "/".join(PACKAGE) + "/"
    found = {name[: at + len(inside)] for name in names if (at := _at_start(name, inside)) >= 0}
    return min(found, key=lambda prefix: (len(PurePosixPath(prefix).parts), prefix), default=None)


def _at_start(name: str, inside: str) -> int:
    """Return the index at which `inside` begins in a path, as whole parts; -1 if nowhere."""
    return 0 if name.startswith(inside) else (name.find("/" + inside) + 1 or -1)


def _refusal_reason(entry: os.DirEntry[str]) -> str | None:
    """Return why an entry that is not a folder cannot be read as a file, or None."""
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if stat.S_ISDIR(mode):
        return "is a link to a folder (not followed)"
    return None if stat.S_ISREG(mode) else "is not a regular file"
