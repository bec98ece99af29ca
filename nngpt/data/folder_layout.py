"""A folder of image files: its parts, classes and files by their names, or why it is refused.

    ROOT/<class>/*.png             one part
    ROOT/<part>/<class>/*.png      several: names of `PARTS` in any case, one of them for training

Folders inside a class folder belong to the class, unless it holds no image itself. Nothing is
opened here; `nngpt.data.image_survey` reads the files.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from nngpt.errors import DataError, readable
from nngpt.files import user_path

PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Name of a part's folder in lower case → the part."""

_SUFFIXES = frozenset(
    (
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".webp"),
        *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".avif"),
    )
)
_UNREADABLE = frozenset(
    [".heic", ".heif", ".jxl", ".svg", ".psd", ".dcm", ".exr", ".dng", ".cr2", ".nef", ".arw"]
)
"""Suffixes of images in formats that cannot be read."""
_SYSTEM = frozenset(
    (
        *("__macosx", "@eadir", "__pycache__", "$recycle.bin", "lost+found"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini"),
    )
)
"""Names that systems give to folders and files of their own."""
_SHOWN, _FEW = 5, 10
_HINT = "The layout: ROOT/<class>/*.png, or ROOT/train/<class>/*.png beside ROOT/test"


@dataclass(frozen=True)
class ImageFile:
    """A file whose name is that of an image.

    Attributes:
        path: its path below the root, with "/".
        label: number of its class.
        size: bytes.
        changed: time of the last change in ns.
    """

    path: str
    label: int
    size: int
    changed: int


@dataclass(frozen=True)
class FolderLayout:
    """The parts and classes of a folder of image files.

    Attributes:
        class_names: names of the class folders, in the order of the labels.
        folders: part ("train", "validation" or "test") → its folder below the root, "" for the
            root itself.
        parts: part → its image files, sorted by class and path.
        left_out: reason → paths of files and folders that do not count, below the root.
    """

    root: Path
    class_names: tuple[str, ...]
    folders: Mapping[str, str]
    parts: Mapping[str, Sequence[ImageFile]]
    left_out: Mapping[str, Sequence[str]]

    @property
    def roles(self) -> dict[str, str]:
        """What the images of each part are used for."""
        found = {part: part for part in self.parts}
        if "test" not in found and "validation" in found:
            found["validation"] = "test, since there is no test part"
        drawn = [] if {"validation", "test"} <= found.keys() else ["validation"]
        drawn += [] if len(found) > 1 else ["test"]
        verb = "is" if len(drawn) == 1 else "are"
        drawing = f" ({' and '.join(drawn)} {verb} drawn from it)" if drawn else ""
        found["train"] = f"training{drawing}"
        return found

    @property
    def notes(self) -> list[str]:
        """What the user should know about parts, and about files that were left out."""
        used = [f"{self.folders[part] or 'all'} for {role}" for part, role in self.roles.items()]
        left_out = [
            f"left out {len(paths):,} ({why}): {_quoted(paths)}"
            for why, paths in self.left_out.items()
        ]
        counts = zip(self.class_names, self.counts("train"), strict=True)
        few = [f"{name!r} {count}" for name, count in counts if count < _FEW]
        rare = [f"few images for training: {', '.join(few[:_SHOWN])}"] if few else []
        return ["; ".join(used), *rare, *left_out]

    def counts(self, part: str) -> list[int]:
        """Return the number of image files of each class in a part."""
        found = Counter(file.label for file in self.parts[part])
        return [found[label] for label in range(len(self.class_names))]


def read_layout(root: Path) -> FolderLayout:
    """Find the parts, classes and files of a folder of images.

    Raises: DataError in one line that names the folder at fault.
    """
    return _Reader(user_path(root).resolve()).layout()


@dataclass
class _Listing:
    """What a folder holds that is not left out, sorted by name."""

    folders: list[str] = field(default_factory=list)
    images: list[os.DirEntry[str]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


class _Reader:
    """Reads the layout of one folder; paths are relative to the root, with "/"."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listings: dict[str, _Listing] = {}
        self._left_out: dict[str, str] = {}

    def layout(self) -> FolderLayout:
        """Return the folder's layout. Raises: DataError."""
        if not self.root.is_dir():
            what = "is a file, not a folder" if self.root.exists() else "no such folder"
            hint = "Unpack it first" if self.root.exists() else "Check task.root"
            raise DataError(what, where=str(self.root), hint=hint)
        folders = self._part_folders()
        classes = {part: self._class_folders(folder) for part, folder in folders.items()}
        names = self._same_classes(folders, classes)
        parts = {
            part: [
                file
                for label, name in enumerate(names)
                for file in self._images(_below(folder, classes[part][name]), label)
            ]
            for part, folder in folders.items()
        }
        left_out: dict[str, list[str]] = {}
        for path, why in self._left_out.items():
            left_out.setdefault(why, []).append(path)
        return FolderLayout(self.root, names, folders, parts, left_out)

    def _part_folders(self) -> dict[str, str]:
        """Return the folder of each part, {"train": ""} if the classes are in the root."""
        top = self._list("")
        parts: dict[str, list[str]] = {}
        only_parts = all(name.casefold() in PARTS for name in top.folders)
        for name in top.folders:
            part, inner = PARTS.get(name.casefold()), self._list(name)
            if part and inner.folders and (only_parts or not inner.images):
                parts.setdefault(part, []).append(name)
        if not parts:
            return {"train": ""}
        named = [name for names in parts.values() for name in names]
        for part, names in parts.items():
            if len(names) > 1:
                self._refuse(f"has more than one {part} part: {_quoted(names)}")
        if "train" not in parts:
            self._refuse(f"has {_quoted(named)}, but no part for training (train)")
        for name in top.folders:
            if name not in named:
                self._leave_out_beside_parts(name)
        for entry in top.images:
            self._left_out[entry.name] = "beside the parts"
        return {part: parts[part][0] for part in dict.fromkeys(PARTS.values()) if part in parts}

    def _leave_out_beside_parts(self, name: str) -> None:
        """Leave out a folder beside the parts, such as one of unlabelled test images.

        Raises: DataError if it might be a class.
        """
        images = self._list(name).images
        if images and name.casefold() not in PARTS:
            self._refuse(f"holds a folder of images beside the parts: {_quoted([name])}")
        self._left_out[name] = "a part without class folders" if images else "not a part"

    def _class_folders(self, folder: str) -> dict[str, str]:
        """Return class name → folder name of the classes in a part. Raises: DataError."""
        listed = self._list(folder)
        found: dict[str, str] = {}
        folded: dict[str, str] = {}
        for name in listed.folders:
            label = readable(unicodedata.normalize("NFC", name))
            other = folded.setdefault(label.casefold(), name)
            if other != name:
                pair = _quoted([other, name])
                self._refuse(f"has class folders whose names differ only in case: {pair}", folder)
            found[label] = name
        if not found and listed.images:
            self._refuse("holds images, but no folder for each class", folder)
        self._refuse_empty(folder, listed.folders)
        if len(found) < 2:
            one = f" ({_quoted(found)})" if found else ""
            self._refuse(f"has fewer than two classes{one}", folder)
        for entry in listed.images:
            self._left_out[_below(folder, entry.name)] = "beside the class folders"
        return found

    def _refuse_empty(self, folder: str, names: Sequence[str]) -> None:
        """Refuse class folders that hold only folders, or no image. Raises: DataError."""
        inner = {name: self._list(_below(folder, name)) for name in names}
        nested = [name for name in names if inner[name].folders and not inner[name].images]
        empty = [name for name in names if not (inner[name].folders or inner[name].images)]
        if nested and len(names) == 1:
            whole = self.root / folder / nested[0]
            self._refuse(f"holds a single folder, {_quoted(nested)}", folder, f"Give {whole}?")
        if nested:
            below = inner[nested[0]].folders
            part = next((name for name in below if name.casefold() in PARTS), None)
            hint = f"Parts come first: ROOT/{part}/{nested[0]}" if part else _HINT
            what = f"class folders hold only folders: {_quoted(nested)}"
            self._refuse(f"{what} (with {_quoted(below)})", folder, hint)
        if empty:
            others = inner[empty[0]].others[:1]
            such = f" (but files such as {_quoted(others)})" if others else ""
            self._refuse(f"class folders hold no image: {_quoted(empty)}{such}", folder)

    def _same_classes(
        self, folders: Mapping[str, str], classes: Mapping[str, Mapping[str, str]]
    ) -> tuple[str, ...]:
        """Return the class names, sorted, which must be those of each part. Raises: DataError."""
        train = classes["train"]
        for part, found in classes.items():
            lacking, extra = sorted(train.keys() - found), sorted(found.keys() - train)
            if lacking or extra:
                whats = [f"{folders[part]} lacks {_quoted(lacking)}"] if lacking else []
                whats += [f"{folders['train']} lacks {_quoted(extra)}"] if extra else []
                self._refuse(f"the parts have different classes: {', '.join(whats)}")
        return tuple(sorted(train))

    def _images(self, folder: str, label: int) -> list[ImageFile]:
        """Return the image files of a class folder and all folders below it, sorted by path."""
        found = [
            ImageFile(path, label, facts.st_size, facts.st_mtime_ns)
            for path, facts in self._walk(folder)
        ]
        return sorted(found, key=lambda file: file.path.split("/"))

    def _walk(self, folder: str) -> Iterator[tuple[str, os.stat_result]]:
        listed = self._list(folder)
        for entry in listed.images:
            yield _below(folder, entry.name), entry.stat()
        for name in listed.folders:
            inner = _below(folder, name)
            if (self.root / inner).is_symlink():
                self._left_out[inner] = "a link to a folder"
            else:
                yield from self._walk(inner)

    def _list(self, folder: str) -> _Listing:
        """Return what a folder holds. Raises: DataError if it cannot be read."""
        if folder in self._listings:
            return self._listings[folder]
        found = self._listings[folder] = _Listing()
        try:
            with os.scandir(self.root / folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    why = self._sort_in(entry, found)
                    if why:
                        self._left_out[_below(folder, entry.name)] = why
        except OSError as error:
            where = str(self.root / folder)
            raise DataError(f"cannot be read ({error.strerror})", where=where) from None
        return found

    def _sort_in(self, entry: os.DirEntry[str], listing: _Listing) -> str:
        """Add an entry to its folder's listing, or return why it does not count."""
        name = entry.name.casefold()
        if name.startswith(".") or name in _SYSTEM:
            return "hidden, or the system's"
        if entry.is_dir():
            listing.folders.append(entry.name)
        elif entry.is_file() and Path(name).suffix in _SUFFIXES | _UNREADABLE:
            listing.images.append(entry)
        else:
            listing.others.append(entry.name)
            return "not an image file"
        return ""

    def _refuse(self, what: str, folder: str = "", hint: str = _HINT) -> NoReturn:
        raise DataError(what, where=str(self.root / folder), hint=hint)


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _quoted(names: Iterable[str]) -> str:
    """Return names for a message, the first of many."""
    shown = [repr(readable(name)) for name in names]
    more = f" and {len(shown) - _SHOWN:,} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
