"""Awkward folders of images: each is loaded right, or refused in one line that names the culprit.

Many stand for a report to a public library: hidden folders as classes, 16 bits clipped to white,
rotated photos, parts read as classes, one broken file that stops everything.
"""

from __future__ import annotations

import io
import os
import struct
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from nngpt.cli.inputs import load_config
from nngpt.data.loading import data_source
from nngpt.data.sources.image_folder import ImageFolder
from nngpt.errors import DataError

RED, GREEN, BLACK, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 0), (255, 255, 255)
Build = Callable[[Path], object]


# What folders are built from


def put(root: Path, *paths: str, image: Image.Image | bytes | None = None, **options: Any) -> None:
    """Write the same image, by default a red one, to files below `root`; a number per `*`."""
    for path in paths:
        for file in [path.replace("*", str(n)) for n in range(6)] if "*" in path else [path]:
            target = root / file
            assert target.is_relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(image, bytes):
                target.write_bytes(image)
            else:
                picture = image or Image.new("RGB", (8, 8), RED)
                picture.save(target, **{"format": None, **options})


def classes(root: Path, *names: str) -> None:
    """Write six red images for each class."""
    put(root, *(f"{name}/*.png" for name in names))


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def beside_black(data: Image.Image | bytes, suffix: str, **options: Any) -> Build:
    """Build a class `a` of the given file, and a class `b` of black images of 8×8 pixels."""

    def build(root: Path) -> None:
        put(root, f"a/*.{suffix}", image=data, **options)
        put(root, "b/*.png", image=Image.new("L", (8, 8)))

    return build


def with_one(data: bytes, name: str = "bad.png") -> Build:
    """Build two classes of twelve images, and one more file in the first."""

    def build(root: Path) -> None:
        put(root, "a/*.png", "a/more-*.png", "b/*.png", "b/more-*.png")
        put(root, f"a/{name}", image=data)

    return build


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_png(side: int) -> bytes:
    """Return a PNG of a few bytes whose header promises a square of this side."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


def big_endian_tiff(values: np.ndarray) -> bytes:
    """Return an uncompressed 16-bit grey TIFF in big-endian order."""
    height, width = values.shape
    tags = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    tags[279] = values.size * 2
    entries = b"".join(struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items())
    pixels = values.astype(">u2").tobytes()
    directory = struct.pack(">H", len(tags)) + entries + struct.pack(">I", 0)
    return b"MM\0*" + struct.pack(">I", 8 + len(pixels)) + pixels + directory


def turned(orientation: int, format: str) -> bytes:
    """Return a file that shows red above green when its EXIF orientation is obeyed."""
    upright = Image.new("RGB", (8, 8), GREEN)
    upright.paste(RED, (0, 0, 8, 4))
    back = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if format == "WEBP" else {}
    return encoded(upright.transpose(back), format, exif=exif, **lossless)


def frames(format: str, **options: Any) -> bytes:
    """Return an animation, or a file of two pages: red, then green."""
    first, second = (Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN))
    return encoded(first, format, save_all=True, append_images=[second], **options)


RAMP = np.linspace(0, 65_535, 64).round().astype(np.uint16).reshape(8, 8)
GREY_RAMP = np.linspace(0, 255, 64).reshape(8, 8)
DARK = (RAMP >> 4).astype(np.uint16)
PALETTE = Image.new("RGB", (8, 8), (10, 200, 30)).quantize(2)
HALF = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
WIDE = Image.new("RGB", (16, 8), BLACK)
WIDE.paste(RED, (4, 0, 12, 8))
TURNED = np.array([RED] * 4 + [GREEN] * 4)[:, None, :]


@dataclass(frozen=True)
class Loaded:
    """What a folder must become.

    Attributes:
        a: pixels of each image of the first class, [h, w, c] or what broadcasts to it.
        parts: numbers of training, validation and test images.
        names: names of the classes.
        notes: texts in what the user is told.
        near: largest difference of a pixel's value.
    """

    a: Any = RED
    shape: tuple[int, int, int] | None = None
    parts: tuple[int, int, int] | None = None
    names: tuple[str, ...] = ("a", "b")
    notes: tuple[str, ...] = ()
    near: float = 1
    task: Mapping[str, Any] = field(default_factory=dict)


GREY = {"near": 1, "shape": (1, 8, 8)}


def parted(*parts: str, names: tuple[str, ...] = ("a", "b")) -> Build:
    return lambda root: classes(root, *(f"{part}/{name}" for part in parts for name in names))


def also(*names: str, data: bytes = b"?") -> Build:
    """Build two classes, and files that must not count."""

    def build(root: Path) -> None:
        classes(root, "a", "b")
        put(root, *names, image=data)

    return build


def linked_files(root: Path) -> None:
    classes(root, "b")
    put(root.parent / "elsewhere", "*.png")
    (root / "a").mkdir()
    for file in (root.parent / "elsewhere").iterdir():
        (root / "a" / file.name).symlink_to(file)


def linked_class(root: Path) -> None:
    classes(root, "b")
    put(root.parent / "elsewhere", "*.png")
    (root / "a").symlink_to(root.parent / "elsewhere")


def odd_files(root: Path) -> None:
    classes(root, "a", "b")
    (root / "a" / "gone.png").symlink_to("nowhere")
    (root / "a" / "round").symlink_to(root)
    os.mkfifo(root / "a" / "pipe.png")
    (root / "a" / "folder.png").mkdir()


def normal_forms(root: Path) -> None:
    for part, form in (("train", "NFC"), ("test", "NFD")):
        classes(root / part, unicodedata.normalize(form, "é"), "a")


def bytes_names(root: Path) -> None:
    classes(root, "a", "b")
    (root / "a" / os.fsdecode(b"\xff.png")).write_bytes(
        encoded(Image.new("RGB", (8, 8), RED), "PNG")
    )


def mostly_grey(root: Path) -> None:
    put(root, "a/*.png", image=Image.new("L", (8, 8), 70))
    put(root, "b/*.png", image=Image.new("L", (8, 8), 90))
    put(root, "b/colour.png")


def one_odd_size(root: Path) -> None:
    classes(root, "a", "b")
    put(root, "a/first.png", image=Image.new("RGB", (50, 20), RED))


def corrupt_exif(root: Path) -> None:
    data = encoded(Image.new("RGB", (8, 8), RED), "JPEG", quality=95)
    exif = b"Exif\0\0MM\0*\xff\xff\xff\xff broken"
    marked = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    beside_black(marked, "jpg")(root)


PNG = encoded(Image.effect_noise((32, 32), 90), "PNG")
JPEG = encoded(Image.new("RGB", (8, 8), RED), "JPEG", quality=95)
LOADED: dict[str, tuple[Build, Loaded]] = {
    # Layouts
    "two classes": (parted("."), Loaded(parts=(10, 1, 1), shape=(3, 8, 8))),
    "train and test": (parted("train", "test"), Loaded(parts=(11, 1, 12))),
    "train, valid and test": (
        parted("train", "valid", "test"),
        Loaded(parts=(12, 12, 12), notes=("train for training; valid for validation",)),
    ),
    "Training, DEV and Testing": (
        parted("Training", "DEV", "Testing"),
        Loaded(parts=(12, 12, 12)),
    ),
    "train and val": (
        parted("train", "val"),
        Loaded(parts=(11, 1, 12), notes=("val for test, since there is no test part",)),
    ),
    "train and validation": (parted("train", "validation"), Loaded(parts=(11, 1, 12))),
    "train alone": (parted("train"), Loaded(parts=(10, 1, 1))),
    "a class called train": (
        lambda root: classes(root, "bus", "train"),
        Loaded(names=("bus", "train"), parts=(10, 1, 1)),
    ),
    "an image beside the classes of train": (
        lambda root: (parted("train", "test")(root), put(root, "train/x.png")),
        Loaded(parts=(11, 1, 12), notes=("beside the class folders",)),
    ),
    "unlabelled test images": (
        lambda root: (parted("train")(root), put(root, "test/*.png")),
        Loaded(parts=(10, 1, 1), notes=("a part without class folders", "'test'")),
    ),
    "an empty test folder": (
        lambda root: (parted("train")(root), (root / "test").mkdir()),
        Loaded(parts=(10, 1, 1), notes=("not a part", "'test'")),
    ),
    "a folder of texts beside the parts": (
        lambda root: (parted("train", "test")(root), put(root, "texts/a.txt", image=b"?")),
        Loaded(parts=(11, 1, 12), notes=("'texts'",)),
    ),
    ".ipynb_checkpoints": (
        also(".ipynb_checkpoints/1.png", "a/.ipynb_checkpoints/1-checkpoint.png"),
        Loaded(parts=(10, 1, 1), notes=("left out 2 (hidden",)),
    ),
    "files of macOS and Windows": (
        also("._a", "a/._1.png", ".DS_Store", "a/Thumbs.db", "b/desktop.ini", "__MACOSX/a/1.png"),
        Loaded(parts=(10, 1, 1), notes=("left out 6",)),
    ),
    "thumbnails of a Synology": (also("a/@eaDir/1.png"), Loaded(parts=(10, 1, 1))),
    "texts beside images": (
        also("labels.csv", "README.md", "a/notes.txt", "b/boxes.xml"),
        Loaded(parts=(10, 1, 1), notes=("left out 4 (not an image file)",)),
    ),
    "images beside the classes": (
        also("x.png", "y.jpg"),
        Loaded(parts=(10, 1, 1), notes=("left out 2 (beside the class folders)",)),
    ),
    "folders inside a class": (
        lambda root: (classes(root, "a", "b"), put(root, "a/more/deep/*.png")),
        Loaded(parts=(16, 1, 1)),
    ),
    "links to files": (linked_files, Loaded(parts=(10, 1, 1))),
    "a link to a class folder": (linked_class, Loaded(parts=(10, 1, 1))),
    "dangling and circular links, a pipe, a folder called .png": (
        odd_files,
        Loaded(parts=(10, 1, 1), notes=("a/gone.png", "a/pipe.png", "a link to a folder")),
    ),
    "names with spaces, signs and line breaks": (
        lambda root: classes(root, "a b", "c\nd", "e'%s"),
        Loaded(names=("a b", "c\\nd", "e'%s"), parts=(16, 1, 1)),
    ),
    "numbers as names": (
        lambda root: classes(root, "0", "1", "10", "2"),
        Loaded(names=("0", "1", "10", "2"), parts=(20, 2, 2)),
    ),
    "two forms of é": (normal_forms, Loaded(names=("a", "é"), parts=(11, 1, 12))),
    "a file name that is not UTF-8": (bytes_names, Loaded(parts=(11, 1, 1))),
    # Files that cannot be read
    "not an image": (with_one(b"<html>404</html>", "x.jpg"), Loaded(notes=("a/x.jpg is not an",))),
    "an empty file": (with_one(b""), Loaded(parts=(20, 2, 2), notes=("skipped 1 of 25",))),
    "a truncated PNG": (with_one(PNG[:-200]), Loaded(notes=("a/bad.png is damaged",))),
    "a truncated JPEG": (with_one(JPEG[:-60], "x.jpg"), Loaded(notes=("a/x.jpg is damaged",))),
    "a PNG with a wrong checksum": (
        with_one(PNG.replace(b"IHDR\0\0\0\x20", b"IHDR\0\0\0\x21")),
        Loaded(notes=("a/bad.png is",)),
    ),
    "400 megapixels in 100 bytes": (with_one(huge_png(20_000)), Loaded(notes=("too many pixels",))),
    "100 megapixels": (with_one(huge_png(10_000)), Loaded(notes=("too many pixels",))),
    "PostScript, which would run": (
        with_one(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "x.png"),
        Loaded(notes=("a/x.png is not an image in a known format",)),
    ),
    "HEIC, which is not supported": (
        with_one(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "x.heic"),
        Loaded(notes=("a/x.heic is not an image in a known format",)),
    ),
    "a share that the user allows": (
        lambda root: (classes(root, "a", "b"), put(root, "a/x.png", "b/y.png", image=b"?")),
        Loaded(notes=("skipped 2 of 14",), task={"skip_broken": 0.2}),
    ),
    # Depth and colours
    "16-bit PNG": (beside_black(Image.fromarray(RAMP), "png"), Loaded(a=GREY_RAMP, **GREY)),
    "16-bit TIFF": (beside_black(Image.fromarray(RAMP), "tif"), Loaded(a=GREY_RAMP, **GREY)),
    "big-endian TIFF": (beside_black(big_endian_tiff(RAMP), "TIFF"), Loaded(a=GREY_RAMP, **GREY)),
    "16-bit PGM": (
        beside_black(b"P5 8 8 65535\n" + RAMP.astype(">u2").tobytes(), "pgm"),
        Loaded(a=GREY_RAMP, **GREY),
    ),
    "12 bits in 16": (
        beside_black(Image.fromarray(DARK), "png"),
        Loaded(a=GREY_RAMP, notes=("they use 12 bits",), **GREY),
    ),
    "floating-point TIFF": (
        beside_black(Image.fromarray((GREY_RAMP / 255).astype(np.float32)), "tif"),
        Loaded(a=GREY_RAMP, **GREY),
    ),
    "1-bit PNG": (beside_black(Image.new("1", (8, 8), 1), "png"), Loaded(a=255, **GREY)),
    "bits of a PBM": (beside_black(b"P4 8 8\n" + b"\0" * 8, "pbm"), Loaded(a=255, **GREY)),
    "palette PNG": (beside_black(PALETTE, "png"), Loaded(a=(10, 200, 30), shape=(3, 8, 8))),
    "grey palette": (
        beside_black(Image.new("L", (8, 8), 99).convert("P"), "png"),
        Loaded(a=99, **GREY),
    ),
    "palette with a transparent colour": (
        beside_black(PALETTE, "png", transparency=PALETTE.getpixel((0, 0))),
        Loaded(a=WHITE, shape=(3, 8, 8)),
    ),
    "transparent RGBA": (
        beside_black(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), "png"),
        Loaded(a=WHITE, shape=(3, 8, 8)),
    ),
    "half transparent RGBA": (beside_black(HALF, "png"), Loaded(a=(255, 127, 127))),
    "half transparent WebP": (
        beside_black(HALF, "webp", lossless=True),
        Loaded(a=(255, 127, 127)),
    ),
    "transparent grey": (
        beside_black(Image.new("LA", (8, 8), (0, 0)), "png"),
        Loaded(a=255, **GREY),
    ),
    "grey with a transparent value": (
        beside_black(Image.new("L", (8, 8), 7), "png", transparency=7),
        Loaded(a=255, **GREY),
    ),
    "CMYK JPEG": (
        beside_black(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "jpg", quality=95),
        Loaded(near=4, shape=(3, 8, 8)),
    ),
    "CMYK TIFF": (beside_black(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "tif"), Loaded()),
    "grey JPEG": (beside_black(Image.new("L", (8, 8), 50), "jpg"), Loaded(a=50, **GREY)),
    "some colour among grey": (mostly_grey, Loaded(a=70, shape=(3, 8, 8))),
    "grey as the user wants": (
        mostly_grey,
        Loaded(a=70, shape=(1, 8, 8), task={"channels": 1}),
    ),
    "colour as the user wants": (
        beside_black(Image.new("L", (8, 8), 70), "png"),
        Loaded(a=70, shape=(3, 8, 8), task={"channels": 3}),
    ),
    # Formats, frames and orientation
    "upper-case suffixes": (beside_black(JPEG, "JPG"), Loaded(near=4, parts=(10, 1, 1))),
    ".jpeg, .jpe and .jfif": (
        lambda root: put(root, "a/*.jpeg", "b/*.jpe", "a/x-*.jfif", image=JPEG),
        Loaded(near=4, parts=(16, 1, 1)),
    ),
    "a JPEG called .png": (beside_black(JPEG, "png"), Loaded(near=4)),
    "progressive JPEG": (
        beside_black(Image.new("RGB", (8, 8), RED), "jpg", progressive=True, quality=95),
        Loaded(near=4),
    ),
    "BMP": (beside_black(Image.new("RGB", (8, 8), RED), "bmp"), Loaded()),
    "PPM": (beside_black(Image.new("RGB", (8, 8), RED), "ppm"), Loaded()),
    "WebP": (beside_black(Image.new("RGB", (8, 8), RED), "webp", lossless=True), Loaded()),
    "compressed TIFF": (
        beside_black(Image.new("RGB", (8, 8), RED), "tiff", compression="tiff_lzw"),
        Loaded(),
    ),
    "animated GIF": (beside_black(frames("GIF"), "gif"), Loaded()),
    "animated PNG": (beside_black(frames("PNG"), "png"), Loaded()),
    "animated WebP": (beside_black(frames("WEBP", lossless=True), "webp"), Loaded()),
    "TIFF of two pages": (beside_black(frames("TIFF"), "tif"), Loaded()),
    "photo upside down": (beside_black(turned(3, "JPEG"), "jpg"), Loaded(a=TURNED, near=200)),
    "PNG on its side": (beside_black(turned(6, "PNG"), "png"), Loaded(a=TURNED)),
    "TIFF on its side": (beside_black(turned(6, "TIFF"), "tif"), Loaded(a=TURNED)),
    "WebP on its side": (beside_black(turned(6, "WEBP"), "webp"), Loaded(a=TURNED)),
    "corrupt EXIF data": (corrupt_exif, Loaded(near=4)),
    # Sizes
    "one odd size among equal ones": (one_odd_size, Loaded(shape=(3, 8, 8))),
    "mixed sizes": (
        lambda root: [
            put(root, f"a/{n}.png", f"b/{n}.png", image=WIDE.resize((n, 2 * n)))
            for n in range(4, 11)
        ],
        Loaded(a=None, shape=(3, 14, 7)),
    ),
    "photos": (
        beside_black(Image.new("RGB", (500, 375), RED), "jpg", quality=95),
        Loaded(near=4, shape=(3, 64, 64), task={"image_size": 64}),
    ),
    "large by default": (
        lambda root: put(root, "a/*.png", "b/*.png", image=Image.new("RGB", (90, 65), RED)),
        Loaded(shape=(3, 64, 64), notes=("is larger than 64 pixels",)),
    ),
    "height and width as the user wants": (
        parted("."),
        Loaded(shape=(3, 6, 10), task={"image_size": [6, 10]}),
    ),
    "stretched": (
        lambda root: put(root, "a/*.png", "b/*.png", image=WIDE),
        Loaded(a=[[BLACK, RED, RED, BLACK]], task={"image_size": 4}, near=70),
    ),
    "padded": (
        lambda root: put(root, "a/*.png", "b/*.png", image=Image.new("RGB", (16, 8), RED)),
        Loaded(
            a=np.array([WHITE] * 2 + [RED] * 4 + [WHITE] * 2)[:, None, :],
            task={"image_size": 8, "resize": "pad"},
        ),
    ),
    "cropped": (
        lambda root: put(root, "a/*.png", "b/*.png", image=WIDE),
        Loaded(a=RED, task={"image_size": 8, "resize": "crop"}),
    ),
    "a line of pixels, padded": (
        beside_black(Image.new("RGB", (300, 1), RED), "png"),
        Loaded(a=None, shape=(3, 8, 8), task={"image_size": 8, "resize": "pad"}),
    ),
    "single pixels": (
        lambda root: put(root, "a/*.png", "b/*.png", image=Image.new("RGB", (1, 1), RED)),
        Loaded(shape=(3, 1, 1)),
    ),
}
if features.check("jpg_2000"):
    LOADED["JPEG 2000"] = beside_black(Image.new("RGB", (8, 8), RED), "jp2"), Loaded()
if features.check("avif"):
    AVIF = encoded(Image.new("RGB", (8, 8), RED), "AVIF")
    LOADED["AVIF"] = beside_black(AVIF, "avif"), Loaded(near=20)


def archive(root: Path) -> Path:
    with zipfile.ZipFile(root / "images.zip", "w") as packed:
        packed.writestr("a/1.png", PNG)
    return root / "images.zip"


REFUSED: dict[str, tuple[Build, tuple[str, ...]]] = {
    "no such folder": (lambda root: root / "nowhere", ("nowhere", "no such folder")),
    "an archive": (archive, ("images.zip", "is a file", "Unpack")),
    "an empty folder": (lambda root: None, ("fewer than two classes",)),
    "images without classes": (lambda root: put(root, "*.png"), ("no folder for each class",)),
    "one class": (lambda root: classes(root, "a"), ("fewer than two classes ('a')",)),
    "a folder around the parts": (
        lambda root: parted("data/train", "data/test")(root),
        ("single folder, 'data'", "root/data?"),
    ),
    "parts inside classes": (
        parted("a", "b", names=("train", "test")),
        ("'a', 'b'", "Parts come first: ROOT/test/a"),
    ),
    "class folders of folders": (
        parted("a", "b", names=("x", "y")),
        ("hold only folders: 'a', 'b'", "'x', 'y'"),
    ),
    "an empty class": (
        lambda root: (classes(root, "a", "b"), (root / "eel").mkdir()),
        ("hold no image: 'eel'",),
    ),
    "a class of texts": (
        lambda root: (classes(root, "a", "b"), put(root, "eel/1.txt", image=b"?")),
        ("hold no image: 'eel'", "'1.txt'"),
    ),
    "an empty class in a part": (
        lambda root: (parted("train", "test")(root), (root / "test" / "eel").mkdir()),
        ("root/test: ", "hold no image: 'eel'"),
    ),
    "a class that only one part has": (
        lambda root: (parted("train", "test")(root), classes(root, "train/eel")),
        ("test lacks 'eel'",),
    ),
    "a class in another case in another part": (
        lambda root: classes(root, "train/cat", "train/dog", "test/Cat", "test/dog"),
        ("test lacks 'cat', train lacks 'Cat'",),
    ),
    "classes that differ only in case": (
        lambda root: classes(root, "Cat", "cat", "dog"),
        ("only in case: 'Cat', 'cat'",),
    ),
    "two validation parts": (
        parted("train", "val", "valid"),
        ("more than one validation part: 'val', 'valid'",),
    ),
    "a test part alone": (parted("test", "val"), ("'test', 'val'", "no part for training")),
    "a class beside the parts": (
        lambda root: (parted("train", "test")(root), classes(root, "eel")),
        ("beside the parts: 'eel'",),
    ),
    "too few images": (
        lambda root: put(root, "a/1.png", "b/1.png", "b/2.png"),
        ("has too few images: 2 for training",),
    ),
    "a class whose only image is drawn for testing": (
        lambda root: put(root, "b/1.png", *(f"a/{n}.png" for n in range(19))),
        ("has too few images of the class 'b': none for training",),
    ),
    "too many broken files": (
        lambda root: (
            classes(root, "a", "b"),
            put(root, "a/x.png", "b/y.png", image=b"?"),
        ),
        ("2 of 14 files", "more than 5% (task.skip_broken)", "a/x.png is", "b/y.png is"),
    ),
    "a class without a readable image": (
        lambda root: (
            put(root, *(f"{name}/{n}*.png" for name in "ab" for n in range(4))),
            put(root, "eel/1.png", image=b"?"),
        ),
        ("no image of 'eel' (train) can be read: eel/1.png",),
    ),
    "nothing readable": (
        lambda root: put(root, "a/*.png", "b/*.svg", image=b"<svg/>"),
        ("no image can be read: a/0.png is not an image",),
    ),
    "32-bit values": (
        beside_black(Image.fromarray(np.full((8, 8), 70_000, np.int32)), "tif"),
        ("a/0.tif has values 70000…70000, not 0…65535",),
    ),
    "floating-point values of 0 to 255": (
        beside_black(Image.fromarray(GREY_RAMP.astype(np.float32)), "tif"),
        ("a/0.tif has values 0…255, not 0…1",),
    ),
}


def open_folder(root: Path, **task: Any) -> ImageFolder:
    settings = {f"task.{key}": value for key, value in {"root": root, **task}.items()}
    source = data_source(load_config(None, [], **{"task.dataset": "image-folder"}, **settings))
    assert isinstance(source, ImageFolder)
    return source


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", LOADED)
def test_loaded_right(name: str, root: Path, cache: Path) -> None:
    build, expected = LOADED[name]
    build(root)
    told: list[str] = []
    source = open_folder(root, **expected.task)
    source.progress = told.append
    source.prepare()
    splits = source.splits(1, None, None)
    assert splits.class_names == expected.names
    parts = splits.train, splits.validation, splits.test
    if expected.parts:
        assert tuple(part.count for part in parts) == expected.parts
    if expected.shape:
        assert splits.shape == source.shape == expected.shape
    images = np.concatenate([part.open_images() for part in parts]).transpose(0, 2, 3, 1)
    labels = np.concatenate([part.open_labels() for part in parts])
    counts = Counter(labels.tolist())
    assert all(counts[label] for label in range(len(expected.names)))
    if expected.a is not None:
        wanted = np.asarray(expected.a, float)
        wanted = wanted[..., None] if wanted.shape == (8, 8) else wanted
        found = images[labels == 0].astype(float)
        assert np.abs(found - wanted).max() <= expected.near
    for note in expected.notes:
        assert any(note in line for line in told), told


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name: str, root: Path, cache: Path) -> None:
    build, texts = REFUSED[name]
    given = build(root)
    with pytest.raises(DataError) as refusal:
        open_folder(given if isinstance(given, Path) else root).prepare()
    line = refusal.value.line()
    assert "\n" not in line and str(root) in line
    assert not [text for text in texts if text not in line], line
    data = cache / "data"
    left = (
        [path for path in data.iterdir() if not path.name.endswith(".lock")]
        if data.exists()
        else []
    )
    assert left == []


def test_the_suite_is_large() -> None:
    assert len(LOADED) + len(REFUSED) >= 60
