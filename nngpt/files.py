"""Any file: atomic writes, locks, checksums, decoding as Python does, environment, cache folder."""

from __future__ import annotations

import codecs
import fcntl
import hashlib
import io
import json
import os
import shutil
import tokenize
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from nngpt.errors import DataError, UserError

DATABASE = "nngpt.db"
"""File name of the database in a folder of runs."""

_UNCHANGED = "Nothing was changed"


def environment(name: str) -> str | None:
    """Return an environment variable's value, None if it is unset or empty."""
    return os.environ.get(name) or None


def cache_folder() -> Path:
    """Return the cache: $NNGPT_CACHE, else $XDG_CACHE_HOME/nngpt, else ~/.cache/nngpt."""
    own = environment("NNGPT_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(environment("XDG_CACHE_HOME") or "~/.cache").expanduser() / "nngpt"


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hexadecimal checksum of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def matches(data: bytes, checksum: str) -> bool:
    """Check any file's bytes against a checksum: sha256 or, for 32 digits, md5."""
    algorithm = "md5" if len(checksum) == 32 else "sha256"
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest() == checksum


def user_path(path: Path) -> Path:
    """Return the path of a file or folder that the user gave, "~/" being the home folder."""
    return path.expanduser() if path.parts[:1] == ("~",) else path


def is_folder(path: Path) -> bool:
    """Return whether a path of the user's names a folder; False for what is no path at all."""
    try:
        return user_path(path).is_dir()
    except OSError:  # such as a name that is too long
        return False


LARGEST = 64 << 20
"""Bytes that are read at most of a file that the user gives, and of a member of an archive."""

LARGEST_CODE = 2 << 20
"""Bytes that are read at most of a Python file with a network; parsing 20 MiB takes minutes."""


def read_bytes(path: Path, largest: int = LARGEST, error: type[UserError] = UserError) -> bytes:
    """Return the content of a file that the user gave.

    Raises:
        UserError: the file cannot be read or is larger than `largest` bytes; of the class `error`.
    """
    try:
        with open_to_read(path) as stream:
            data = stream.read(largest + 1)
    except (OSError, ValueError) as fault:  # ValueError: NUL in the path
        why = getattr(fault, "strerror", None) or fault
        raise error(f"cannot be read ({why})", where=str(path)) from None
    if len(data) > largest:
        raise error(f"is larger than {largest >> 10:,} KiB", where=str(path))
    return data


def open_to_read(path: Path) -> BinaryIO:
    """Open a file that the user gave; unlike `open`, never wait for the writer of a pipe.

    Raises:
        OSError: the file cannot be opened, or is a folder.
        ValueError: the path holds NUL.
    """

    def without_waiting(name: str, flags: int) -> int:
        handle = os.open(name, flags | os.O_NONBLOCK)
        os.set_blocking(handle, True)
        return handle

    return open(path, "rb", opener=without_waiting)


def read_text(path: Path, largest: int = LARGEST, error: type[UserError] = UserError) -> str:
    """Return a text file that the user gave, without byte order mark, lines ended by newlines.

    Raises:
        UserError: as `read_bytes`, or the file is not UTF-8.
    """
    try:
        text = read_bytes(path, largest, error).decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise error(f"is not UTF-8 (byte {fault.start})", where=str(path)) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON of a file or an answer.

    Raises:
        ValueError: not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_object(path: Path, error: type[UserError] = UserError) -> dict[str, Any]:
    """Return the JSON object in a file that the user gave.

    Raises:
        UserError: as `read_bytes`, or the file holds something else.
    """
    data = read_bytes(path, error=error)
    try:
        found = parse_json(data)
    except ValueError as fault:
        raise error(f"is not JSON ({fault})", where=str(path)) from None
    if not isinstance(found, dict):
        raise error("is not a JSON object", where=str(path))
    return found


def read_member(archive: zipfile.ZipFile, name: str, largest: int = LARGEST) -> bytes:
    """Return a member of an archive file, unpacked.

    Raises:
        KeyError: there is no such member.
        zipfile.BadZipFile: it is damaged, or has more than `largest` bytes.
    """
    with archive.open(name) as stream:
        data = stream.read(largest + 1)
    if len(data) > largest:
        raise zipfile.BadZipFile(f"{name} has more than {largest >> 20} MiB")
    return data


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold any lock file, waiting for other processes; the system frees it on exit.

    Raises: DataError if the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("ab")
    except OSError as error:
        hint = "Set NNGPT_CACHE to a writable folder"
        what = f"cannot be written ({error.strerror})"
        raise DataError(what, where=str(path), hint=hint) from None
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`, removed at the end; the caller holds the lock.

    Its name is fixed, so the next process removes what a killed one left behind.

    Raises: UserError if it cannot be created.
    """
    folder = target.parent / f".{target.name}.partial"
    shutil.rmtree(folder, ignore_errors=True)
    with write_errors(target):
        folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(source: Path, target: Path) -> None:
    """Flush a finished file or folder to disk, and rename it to its final name."""
    inside = source.rglob("*") if source.is_dir() else ()
    for path in (*inside, source):
        sync(path)
    if target.is_dir():
        shutil.rmtree(target)
    source.rename(target)
    sync(target.parent)


def write_file(path: Path, lines: Iterable[bytes], hint: str = _UNCHANGED) -> None:
    """Write a file atomically; write to a pipe or device directly.

    Args:
        hint: hint of the error.

    Raises: UserError if the file cannot be written.
    """
    with write_errors(path, hint):
        if path.exists() and not path.is_file():
            with path.open("wb") as stream:
                stream.writelines(lines)
            return
        target = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".nngpt-{os.getpid()}.partial")
        try:
            with draft.open("xb") as stream:
                stream.writelines(lines)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)


@contextmanager
def write_errors(path: Path, hint: str = _UNCHANGED) -> Iterator[None]:
    """Raise a UserError for `path` if the block fails to write a file."""
    try:
        yield
    except OSError as error:
        why = f"cannot be written ({error.strerror})"
        raise UserError(why, where=str(path), hint=hint) from None


def check_new(folder: Path, hint: str = _UNCHANGED) -> None:
    """Check that a folder for new files does not exist or is empty. Raises: UserError."""
    try:
        filled = folder.exists() and any(folder.iterdir())
    except OSError as error:
        why = f"cannot be used ({error.strerror})"
        raise UserError(why, where=str(folder), hint=hint) from None
    if filled:
        raise UserError("the folder is not empty", where=str(folder), hint=hint)


def append_lines(file: Path, lines: Iterable[bytes]) -> None:
    """Append lines to a file, in place of an end that a kill left unfinished; flush it to disk."""
    with file.open("a+b") as stream:
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
            if stream.read() != b"\n":
                stream.truncate(sum(len(line) + 1 for line in whole_lines(file)))
        stream.write(b"".join(line + b"\n" for line in lines))
        stream.flush()
        os.fsync(stream.fileno())


def whole_lines(file: Path) -> list[bytes]:
    """Return the lines that `append_lines` wrote, without an end that a kill left unfinished."""
    return file.read_bytes().split(b"\n")[:-1] if file.exists() else []


def sync(path: Path) -> None:
    """Flush a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def decode(raw: bytes) -> str:
    """Decode any file's bytes as Python does: byte order mark, `coding` comment, line ends.

    Raises: ValueError if Python would not accept the encoding; the message is the reason.
    """
    try:
        if raw.startswith(codecs.BOM_UTF8) or any(b"coding" in p for p in raw.split(b"\n", 2)[:2]):
            encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        else:
            encoding = "utf-8"
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"not in {error.encoding}, which Python expects (PEP 263)") from None
    except (SyntaxError, UnicodeError, LookupError) as error:
        raise ValueError(f"its encoding cannot be read ({error})") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
