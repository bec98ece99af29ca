"""A picture file as a network's exact input: orientation, depth, transparency, colours, size.

It imports only the standard library and Pillow, because its text is copied into the folder of an
exported network, which classifies pictures without nngpt.
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
"""EXIF orientation → the turn that brings the picture upright."""
_ORIENTATION = 0x0112
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, EOFError),
    *(ArithmeticError, MemoryError, struct.error, zlib.error),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)
"""What Pillow raises for damaged files, beside the UnidentifiedImageError of others."""


@dataclass(frozen=True)
class ImageFormat:
    """How a picture becomes the input of a network.

    Attributes:
        channels: 1 for grey, 3 for red, green and blue.
        height: height of the input in pixels.
        width: width of the input in pixels.
        resize: "stretch" changes the aspect ratio; "pad" keeps it and fills with `background`;
            "crop" keeps it and cuts off what is too long, evenly.
        background: colour behind transparent pixels, 0…255 each.
        white: value in grey pictures of more than 8 bits that becomes 255; 0 becomes 0.
    """

    channels: Literal[1, 3]
    height: int
    width: int
    resize: Literal["stretch", "pad", "crop"] = "stretch"
    background: tuple[int, int, int] = (255, 255, 255)
    white: int = 65_535


def load_image(file: Path | str | BinaryIO, format: ImageFormat) -> Image.Image:
    """Return the picture in a file as a network's input: mode L or RGB, of the format's size.

    Of several frames or pages the first counts. The picture is turned upright (EXIF), made 8 bits
    deep, put on the background if it is transparent, converted to grey or colour, and resized
    (bilinear, antialiased), in this order.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is not a picture, or is damaged; the message is the reason.
    """
    with open_picture(file) as picture:
        try:
            # Decodes a JPEG that is much too large at a half, quarter or eighth of its size.
            longest = 2 * max(format.width, format.height)
            picture.draft(None, (longest, longest))
            picture.load()
            upright = _upright(picture)
            opaque = _opaque(_eight_bits(upright, format.white), format.background)
            plain = opaque.convert("L" if format.channels == 1 else "RGB")
            return _resized(plain, format)
        except _DAMAGE as error:
            raise ValueError(reason(error)) from None


def open_picture(file: Path | str | BinaryIO) -> Image.Image:
    """Open a picture file without decoding it; only formats of plain pictures are tried.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is not a picture, or its header is damaged; the message is the reason.
    """
    try:
        return Image.open(file, formats=_known_formats())
    except UnidentifiedImageError:
        raise ValueError("is not a picture in a known format") from None
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(reason(error)) from None


def reason(error: BaseException) -> str:
    """Return why a picture cannot be read, from what Pillow raised."""
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "has too many pixels"
    text = " ".join(str(error).split())
    return f"is damaged ({text or type(error).__name__})"


@cache
def _known_formats() -> tuple[str, ...]:
    """Return the formats that this Pillow can open. A PostScript file would run a program."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _upright(picture: Image.Image) -> Image.Image:
    """Return a decoded picture as its EXIF orientation says; damaged EXIF data do not count."""
    try:
        turn = _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    except _DAMAGE:
        return picture
    return picture if turn is None else picture.transpose(turn)


def _eight_bits(picture: Image.Image, white: int) -> Image.Image:
    """Return a picture with 8 bits per channel: 0…`white`, or 0…1 of floats, becomes 0…255.

    Raises: ValueError if 32-bit values are outside that range.
    """
    if picture.mode.startswith("I"):
        whole = picture.convert("I")
        low, high = _extremes(whole)
        if low < 0 or high > 65_535:
            raise ValueError(f"32-bit values {low:g}…{high:g} instead of 0…65535")
        scale = 255 / white
        return whole.point(lambda value: value * scale + 0.5).convert("L")
    if picture.mode == "F":
        low, high = _extremes(picture)
        if not 0 <= low <= high <= 1:
            raise ValueError(f"floating-point values {low:g}…{high:g} instead of 0…1")
        return picture.point(lambda value: value * 255 + 0.5).convert("L")
    return picture


def _extremes(picture: Image.Image) -> tuple[float, float]:
    low, high = picture.getextrema()
    assert isinstance(low, int | float) and isinstance(high, int | float)
    return low, high


def _opaque(picture: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Return a picture of 8 bits as L or RGB, on the background if it is transparent."""
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        canvas = Image.new("RGBA", layer.size, (*background, 255))
        canvas.alpha_composite(layer)
        return canvas.convert("RGB")
    return picture.convert("L") if picture.mode in ("1", "L") else picture.convert("RGB")


def _resized(picture: Image.Image, format: ImageFormat) -> Image.Image:
    """Return a picture in L or RGB in the format's size."""
    wanted = width, height = format.width, format.height
    if picture.size == wanted:
        return picture
    smooth = Image.Resampling.BILINEAR
    ratios = width / picture.width, height / picture.height
    if format.resize == "crop":
        left = (picture.width - width / max(ratios)) / 2
        top = (picture.height - height / max(ratios)) / 2
        box = (left, top, picture.width - left, picture.height - top)
        return picture.resize(wanted, smooth, box)
    if format.resize == "pad":
        inner = [max(1, round(side * min(ratios))) for side in picture.size]
        canvas = Image.new("RGB", wanted, format.background).convert(picture.mode)
        corner = ((width - inner[0]) // 2, (height - inner[1]) // 2)
        canvas.paste(picture.resize((inner[0], inner[1]), smooth), corner)
        return canvas
    return picture.resize(wanted, smooth)
