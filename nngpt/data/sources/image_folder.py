"""Any folder of images with a folder for each class, whole or in parts; see docs/images.md.

Without a test part, a validation part takes its place, and a tenth of a fixed shuffle that of both.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from nngpt import downloads
from nngpt.data import cache
from nngpt.data.folder_layout import FolderLayout, ImageFile, read_layout
from nngpt.data.image_survey import (
    ImageSettings,
    ImageSurvey,
    choose_format,
    read_images,
    survey,
    usual_size,
)
from nngpt.data.images import ImageFormat
from nngpt.data.splits import Splits
from nngpt.data.splits import create as create_splits
from nngpt.errors import DataError
from nngpt.plugins import IMAGE_FOLDER
from nngpt.records import canonical_json

_READER = 2
"""Version of the way from files to arrays, a part of the cache's keys."""
_EVERY_S = 5.0
_SHOWN = 5


def create(root: Path | None = None) -> ImageFolder:
    """Open a folder of images as a data set. Raises: DataError: no folder, or it is refused."""
    if root is None:
        where, hint = "data set image-folder", "Set task.root, or give --root FOLDER"
        raise DataError("needs the folder with the images", where=where, hint=hint)
    return ImageFolder(read_layout(root))


@dataclass(frozen=True)
class FolderReport:
    """What `nngpt data check` finds in a folder of images.

    Attributes:
        layout: its parts, classes and files.
        survey: what its files have in common; `broken` has all that cannot be read.
        format: the format chosen for the images.
        reasons: a sentence for each choice.
        refusal: why the folder cannot be used, None if it can.
    """

    layout: FolderLayout
    survey: ImageSurvey
    format: ImageFormat
    reasons: Sequence[str]
    refusal: DataError | None


class ImageFolder:
    """A folder of images; implements `nngpt.protocols.DatasetSource`."""

    name = IMAGE_FOLDER

    def __init__(self, layout: FolderLayout, settings: ImageSettings | None = None) -> None:
        self.layout, self.settings = layout, settings or ImageSettings()
        self.root, self.class_names = layout.root, layout.class_names
        self.classes = len(layout.class_names)
        self.images = sum(map(len, layout.parts.values()))
        self.progress: downloads.Progress = downloads.silent
        self._parts = _parts(layout)
        left = Counter(file.label for file in self._parts["train"])
        lost = [name for label, name in enumerate(self.class_names) if not left[label]]
        if lost or left.total() < 3:
            which = f" of the class {lost[0]!r}" if lost else ""
            what = f"has too few images{which}: {'none' if lost else left.total()} for training"
            hint = "Add images, or a test part of your own (ROOT/train beside ROOT/test)"
            raise DataError(what, where=str(self.root), hint=hint)

    def with_settings(self, settings: ImageSettings) -> ImageFolder:
        """Return this data set with other settings for reading its images."""
        return ImageFolder(self.layout, settings)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(c, h, w) of the images. Raises: DataError if no file can be read."""
        format = self.image_format
        return format.channels, format.height, format.width

    @property
    def image_format(self) -> ImageFormat:
        """How a file becomes an image. Raises: DataError if no file can be read."""
        meta = cache.read_meta(self._key)
        return meta.image_format if meta and meta.image_format else self._choice[0]

    @property
    def usual_size(self) -> tuple[int, int]:
        """(height, width) of most files. Raises: DataError if no file can be read."""
        return usual_size(self._survey)[:2]

    def available(self) -> bool:
        """Return True if the images are in the cache and their files unchanged."""
        return cache.read_meta(self._key) is not None

    def prepare(self) -> None:
        """Read all images into the cache. Raises: DataError if too many cannot be read."""
        cache.prepare_files(self._key, self._fill)
        meta = cache.read_meta(self._key)
        for note in meta.notes if meta else ():
            self.progress(f"{self.name}: {note}")

    def splits(self, seed: int, train_limit: int | None, validation_limit: int | None) -> Splits:
        """Return the folder's train, validation and test parts, memory-mapped.

        Raises: DataError if the images are not in the cache, or their files have changed.
        """
        if not self.available():
            hint = f"Prepare it: nngpt data pull {self.root}"
            raise DataError("is not in the cache, or has changed", where=str(self.root), hint=hint)
        return create_splits(self._key, seed, train_limit, validation_limit)

    def inspect(self) -> FolderReport:
        """Read every file, and return what was found and what would be done; write nothing.

        Raises: DataError if no file can be read.
        """
        format, reasons = self._choice
        broken = {
            file.path: pixels
            for part in self._parts
            for file, pixels in self._read(part, format)
            if isinstance(pixels, str)
        }
        self._survey.broken.update(broken)
        refusal: DataError | None = None
        try:
            self._check(broken)
        except DataError as error:
            refusal = error
        return FolderReport(self.layout, self._survey, format, reasons, refusal)

    @cached_property
    def _survey(self) -> ImageSurvey:
        files = [file.path for part in self.layout.parts.values() for file in part]
        found = survey(self.root, files)
        if not found.sizes:
            path, why = next(iter(found.broken.items()))
            raise DataError(f"no image can be read: {path} {why}", where=str(self.root))
        return found

    @cached_property
    def _choice(self) -> tuple[ImageFormat, list[str]]:
        return choose_format(self._survey, self.settings)

    @cached_property
    def _key(self) -> str:
        """Key in the cache, which changes with the folder's path, any file, and the settings."""
        files = {
            part: [(file.path, file.label, file.size, file.changed) for file in files]
            for part, files in self.layout.parts.items()
        }
        facts = [_READER, str(self.root), asdict(self.settings), self.class_names, files]
        digest = hashlib.sha256(canonical_json(facts).encode("utf-8", "surrogateescape"))
        return f"{self.name}-{digest.hexdigest()[:16]}"

    def _fill(self, partial: Path) -> cache.Meta:
        """Write the arrays of the images into a folder, and return their metadata.

        Raises: DataError if too many files cannot be read.
        """
        self.progress(f"{self.name}: {self.images:,} images of {self.root}")
        format, reasons = self._choice
        notes = [*reasons, *self.layout.notes]
        broken: dict[str, str] = {}
        counts: Counter[str] = Counter()
        for name, members in {"train": ("train", "validation"), "test": ("test",)}.items():
            labels = []
            shape = (format.channels, format.height, format.width)
            with cache.writing_rows(partial / f"{name}_x.npy", shape) as append:
                for part in members:
                    for file, pixels in self._read(part, format):
                        if isinstance(pixels, str):
                            broken[file.path] = pixels
                        else:
                            append(pixels[None])
                            labels.append(file.label)
                            counts[part] += 1
            np.save(partial / f"{name}_y.npy", np.array(labels, np.int64))
        self._check(broken)
        if broken:
            notes.append(f"skipped {len(broken)} of {self.images:,} files: {_listed(broken)}")
        return cache.Meta(
            name=self.name,
            classes=self.classes,
            shape=shape,
            source=str(self.root),
            sha256=cache.digests(cache.open_arrays(partial)),
            class_names=self.class_names,
            image_format=format,
            validation=counts["validation"],
            images=counts.total(),
            notes=tuple(notes),
        )

    def _read(
        self, part: str, format: ImageFormat
    ) -> Iterator[tuple[ImageFile, cache.Images | str]]:
        """Yield each file of a part with its pixels, or with why it cannot be read."""
        files, last = self._parts.get(part, []), time.monotonic()
        pixels = read_images(self.root, [file.path for file in files], format)
        for count, pair in enumerate(zip(files, pixels, strict=True), start=1):
            yield pair
            if time.monotonic() - last > _EVERY_S:
                last = time.monotonic()
                self.progress(f"{self.name}: {count:,} of {len(files):,} images ({part})")

    def _check(self, broken: Mapping[str, str]) -> None:
        """Refuse too many files that cannot be read, and a class of which none can."""
        where, hint = str(self.root), "nngpt data check lists all; repair or remove them"
        if len(broken) > self.settings.skip * self.images:
            most = f"{self.settings.skip:.0%} (task.skip_broken)"
            what = f"{len(broken)} of {self.images:,} files cannot be read, more than {most}"
            raise DataError(f"{what}: {_listed(broken)}", where=where, hint=hint)
        for part, files in self.layout.parts.items():
            left = {file.label for file in files if file.path not in broken}
            for label, name in enumerate(self.class_names):
                if label not in left:
                    first = next(file.path for file in files if file.label == label)
                    what = f"no image of {name!r} ({part}) can be read: {first} {broken[first]}"
                    raise DataError(what, where=where, hint=hint)


def _parts(layout: FolderLayout) -> dict[str, Sequence[ImageFile]]:
    """Return the files for training, test and, if it has a part of its own, validation."""
    parts = dict(layout.parts)
    if "test" not in parts and "validation" in parts:
        parts["test"] = parts.pop("validation")
    if "test" not in parts:
        train = parts["train"]
        order = np.random.Generator(np.random.PCG64(0)).permutation(len(train))
        held_out = max(1, len(order) // 10)
        parts["test"] = [train[i] for i in order[:held_out]]
        parts["train"] = [train[i] for i in order[held_out:]]
    return parts


def _listed(broken: Mapping[str, str]) -> str:
    """Return a message about files that cannot be read, the first of many."""
    shown = [f"{path} {why}" for path, why in broken.items()]
    more = f", and {len(shown) - _SHOWN:,} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
