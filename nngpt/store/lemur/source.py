"""From a path to something that can be imported."""

from __future__ import annotations

import zipfile
from pathlib import Path

from nngpt.errors import DataError
from nngpt.store.lemur.package import Package
from nngpt.store.lemur.package_files import NO_PACKAGE, FolderContainer, ZipContainer
from nngpt.store.lemur.records import Source
from nngpt.store.lemur.sqlite_file import SqliteFile


def open_source(path: Path) -> Source:
    """A LEMUR package (folder, checkout, wheel or other zip) or LEMUR's own database.

    Raises:
        DataError: there is nothing, it is something else, or it is damaged as a whole.
    """
    try:
        if path.is_dir():
            return Package(FolderContainer(path))
        with path.open("rb") as file:
            is_sqlite = file.read(16) == b"SQLite format 3\0"
        if is_sqlite:
            return SqliteFile(path)
        if zipfile.is_zipfile(path):
            return Package(ZipContainer(path))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=str(path)) from None
    raise DataError("is neither an archive nor a database", where=str(path), hint=NO_PACKAGE)
