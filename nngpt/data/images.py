"""An image file as a network's exact input: orientation, depth, transparency, colours, size.

It imports only the standard library and Pillow, because its text is copied into the folder of an
exported network, which classifies images without nngpt.
"""

import struct
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO, Literal

from PIL import Image, UnidentifiedImageError

_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → the turn that brings the image upright."""
_ORIENTATION = 0x0112
DAMAGE = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, EOFError),
    *(ArithmeticError, MemoryError, struct.error, zlib.error),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)
"""What Pillow raises for damaged files, beside the UnidentifiedImageError of others."""


@dataclass(frozen=True)
class ImageFormat:
    """How an image file becomes the input of a network.

    Attributes:
        channels: 1 for grey, 3 for red, green and blue.
        height: height of the input in pixels.
        width: width of the input in pixels.
        resize: "stretch" changes the aspect ratio; "pad" keeps it and fills with `background`;
            "crop" keeps it and cuts off what is too long, evenly.
        background: colour behind transparent pixels, 0…255 each.
        white: value in grey images of more than 8 bits that becomes 255; 0 becomes 0.
    """

    channels: Literal[1, 3]
    height: int
    width: int
    resize: Literal["stretch", "pad", "crop"] = "stretch"
    background: tuple[int, int, int] = (255, 255, 255)
    white: int = 65_535


def load_image(file: Path | str | BinaryIO, format: ImageFormat) -> Image.Image:
    """Return the image in a file as a network's input: mode L or RGB, of the format's size.

    Of several frames or pages the first counts. The image is turned upright (EXIF), made 8 bits
    deep, put on the background if it is transparent, converted to grey or colour, and resized
    (bilinear, antialiased), in this order.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is not an image, or is damaged; the message is the reason.
    """
    with open_image(file) as image:
        try:
            # Decodes a JPEG that is much too large at a half, quarter or eighth of its size.
            longest = 2 * max(format.width, format.height)
            image.draft(None, (longest, longest))
            image.load()
            turn = turn_of(image)
            upright = image.transpose(turn) if turn is not None else image
            opaque = _opaque(_eight_bits(upright, format.white), format.background)
            plain = opaque.convert("L" if format.channels == 1 else "RGB")
            return _resized(plain, format)
        except DAMAGE as error:
            raise ValueError(reason(error)) from None


def open_image(file: Path | str | BinaryIO) -> Image.Image:
    """Open an image file without decoding it; only formats of plain images are tried.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is not an image, or its header is damaged; the message is the reason.
    """
    try:
        return Image.open(file, formats=_known_formats())
    except UnidentifiedImageError:
        raise ValueError("is not an image in a known format") from None
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(reason(error)) from None


def reason(error: BaseException) -> str:
    """Return why an image cannot be read, from what Pillow raised."""
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "has too many pixels"
    text = " ".join(str(error).split())
    if text.startswith(("has ", "is ")):  # a reason already
        return text
    return f"is damaged ({text or type(error).__name__})"


@cache
def _known_formats() -> tuple[str, ...]:
    """Return the formats that this Pillow can open. A PostScript file would run a program."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """Return the turn that brings an image upright (EXIF), None if it is, or if that is damaged."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except DAMAGE:
        return None


def grey_range(image: Image.Image) -> tuple[float, float] | None:
    """Return the smallest and largest value of a decoded image, None if it has 8 bits or fewer.

    Raises: ValueError if they are outside of 0…65535, or of 0…1 for floating-point numbers.
    """
    if image.mode != "F" and not image.mode.startswith("I"):
        return None
    low, high = (image if image.mode == "F" else image.convert("I")).getextrema()
    assert isinstance(low, int | float) and isinstance(high, int | float)
    largest = 1 if image.mode == "F" else 65_535
    if not 0 <= low <= high <= largest:
        raise ValueError(f"has values {low:g}…{high:g}, not 0…{largest}")
    return low, high


def _eight_bits(image: Image.Image, white: int) -> Image.Image:
    """Return an image of 8 bits: 0…`white`, or 0…1 of floating-point numbers, becomes 0…255."""
    if grey_range(image) is None:
        return image
    scale = 255 if image.mode == "F" else 255 / white
    whole = image if image.mode == "F" else image.convert("I")
    plain = whole.point(lambda value: value * scale + 0.5).convert("L")
    plain.info.pop("transparency", None)  # a value of the 16 bits
    return plain


def _opaque(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Return an image of 8 bits as L or RGB, on the background if it is transparent."""
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        canvas = Image.new("RGBA", layer.size, (*background, 255))
        canvas.alpha_composite(layer)
        return canvas.convert("RGB")
    return image.convert("L") if image.mode in ("1", "L") else image.convert("RGB")


def _resized(image: Image.Image, format: ImageFormat) -> Image.Image:
    """Return an image in L or RGB in the format's size."""
    wanted = width, height = format.width, format.height
    if image.size == wanted:
        return image
    smooth = Image.Resampling.BILINEAR
    ratios = width / image.width, height / image.height
    if format.resize == "crop":
        left = max(0, (image.width - width / max(ratios)) / 2)
        top = max(0, (image.height - height / max(ratios)) / 2)
        box = (left, top, image.width - left, image.height - top)
        return image.resize(wanted, smooth, box)
    if format.resize == "pad":
        inner = [max(1, round(side * min(ratios))) for side in image.size]
        canvas = Image.new("RGB", wanted, format.background).convert(image.mode)
        corner = ((width - inner[0]) // 2, (height - inner[1]) // 2)
        canvas.paste(image.resize((inner[0], inner[1]), smooth), corner)
        return canvas
    return image.resize(wanted, smooth)
