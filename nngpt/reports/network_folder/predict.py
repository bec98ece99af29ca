"""Tell which class images show: python predict.py IMAGE... [--top K] [--json].

It needs torch and pillow, and the files network.py and weights.safetensors beside it, whose code it
runs. From Python: `from predict import load, predict`.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import random
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

try:
    warnings.filterwarnings("ignore", "Failed to initialize NumPy")  # torch does without it
    import PIL  # noqa: F401
    import torch
except ImportError as missing:
    if __name__ != "__main__":
        raise
    print(f"predict.py: {missing}. Install it: pip install torch pillow", file=sys.stderr)
    sys.exit(2)

from nngpt.data.images import ImageFormat, load_image

SETTINGS: dict[str, Any] = {}
"""What the network was trained with."""

HERE = Path(__file__).resolve().parent
BATCH = 64
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".jp2", ".avif"),
)
"""Suffixes of the images in a folder."""

TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
"""Types of tensors, by their names in a safetensors file."""


@cache
def load(device: str | None = None) -> torch.nn.Module:
    """Return the trained network on a device; by default on the GPU, if there is one.

    Raises:
        ImportError: its code needs a package that is missing.
        OSError, ValueError: network.py or weights.safetensors cannot be read.
    """
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    state = read_weights(HERE / "weights.safetensors")
    weights = {name: tensor.to(place) for name, tensor in state.items()}
    prm = dict(SETTINGS["prm"])
    shape = tuple(SETTINGS["in_shape"])
    with _seeded(SETTINGS["seed"]), contextlib.redirect_stdout(sys.stderr):
        module = _module("network")
        network: torch.nn.Module = module.Net(shape, (len(SETTINGS["classes"]),), prm, place)
        network = network.to(place).eval()
        with torch.no_grad():
            network(torch.randn(2, *shape[1:], device=place))  # some layers find their size now
        if SETTINGS["needs_setup"]:  # it adds tensors
            network.train_setup(prm)  # type: ignore[operator]
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise ValueError("weights.safetensors: it belongs to another network.py") from None
    return network.eval()


def predict(
    files: Sequence[str | Path], top: int = 1, network: torch.nn.Module | None = None
) -> list[list[tuple[str, float]]]:
    """Return for each image the `top` classes, the most probable first, with probabilities.

    Args:
        files: image files.
        network: as returned by `load`; by default `load()`.

    Raises: OSError, ValueError if a file is not a readable image; see also `load`.
    """

    def fail(file: str | Path, error: Exception) -> None:
        raise error

    return [best for _, best in _classified(files, top, network or load(), fail)]


def pixels(file: str | Path) -> torch.Tensor:
    """Return an image file as the tensor that the preprocessing begins with, uint8 [c, h, w]."""
    image = load_image(file, ImageFormat(**SETTINGS["format"]))
    values = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return values.reshape(image.height, image.width, -1).permute(2, 0, 1)


def probabilities(images: torch.Tensor, network: torch.nn.Module) -> torch.Tensor:
    """Return the probability of each class, [n, classes], for images, uint8 [n, c, h, w]."""
    place = next((tensor.device for tensor in network.state_dict().values()), images.device)
    with torch.no_grad():
        logits = network(preprocess(images.to(place)))
    return torch.softmax(logits.double(), 1).cpu()


def preprocess(images: torch.Tensor) -> torch.Tensor:
    """Return images, uint8 [n, c, h, w], as the network's input."""
    if SETTINGS["transform"] is not None:
        return _transform()(images)
    images = images.float().div_(255)
    if size := SETTINGS["size"]:
        images = torch.nn.functional.interpolate(
            images, (size, size), mode="bilinear", antialias=True
        )
    if SETTINGS["normalise"]:
        mean, std = (torch.tensor(SETTINGS[name]).view(-1, 1, 1) for name in ("mean", "std"))
        images = images.sub_(mean.to(images.device)).div_(std.to(images.device))
    return images


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file. Raises: OSError, ValueError."""
    data = bytearray(file.read_bytes())
    begin = 8 + int.from_bytes(data[:8], "little")
    state = {}
    try:
        header = json.loads(data[8:begin])
        header.pop("__metadata__", None)
        for name, facts in header.items():
            start, end = facts["data_offsets"]
            kind = TYPES[facts["dtype"]]
            part = data[begin + start : begin + end]
            values = torch.frombuffer(part, dtype=kind) if part else torch.empty(0, dtype=kind)
            state[name] = values.reshape(facts["shape"])
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError):
        raise ValueError(f"{file.name}: it is damaged") from None
    return state


def _classified(
    files: Sequence[str | Path],
    top: int,
    network: torch.nn.Module,
    fail: Callable[[str | Path, Exception], None],
) -> Iterator[tuple[str | Path, list[tuple[str, float]]]]:
    """Yield each readable image with its `top` classes; `fail` is told of the others."""
    for start in range(0, len(files), BATCH):
        read: list[tuple[str | Path, torch.Tensor]] = []
        for file in files[start : start + BATCH]:
            try:
                read.append((file, pixels(file)))
            except (OSError, ValueError) as error:
                fail(file, error)
        if read:
            rows = probabilities(torch.stack([image for _, image in read]), network)
            yield from ((name, _best(row, top)) for (name, _), row in zip(read, rows, strict=True))


def _best(row: torch.Tensor, top: int) -> list[tuple[str, float]]:
    values, numbers = row.topk(min(top, len(row)))
    names = [SETTINGS["classes"][number] for number in numbers.tolist()]
    return list(zip(names, values.tolist(), strict=True))


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed all random numbers as the training did: a network may draw some that are no weights."""
    before = random.getstate()
    random.seed(seed)
    if "numpy" in SETTINGS["packages"]:
        import numpy

        numpy.random.seed(seed % 2**32)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(before)


@cache
def _transform() -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the transform whose source text the network came with, without its random steps."""
    build = _module("transform").build
    answer: Callable[[torch.Tensor], torch.Tensor] = build(
        SETTINGS["transform"], tuple(SETTINGS["mean"]), tuple(SETTINGS["std"])
    ).answer
    return answer


def _module(name: str) -> Any:
    """Return the module in a file beside this one. Raises: ImportError, OSError, ValueError."""
    unique = f"{name}_{SETTINGS['id']}"  # several networks may be loaded
    spec = importlib.util.spec_from_file_location(unique, HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ValueError(f"{name}.py: line {error.lineno}: {error.msg}") from None
    return module


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the classes of the images in a command line; return 2 if something failed."""
    parser = argparse.ArgumentParser(prog="predict.py", description=SETTINGS["title"])
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image, or folder of them")
    parser.add_argument("--top", type=_count, default=1, metavar="K", help="number of classes (1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="(the GPU, if any)")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # of torch without numpy, of Pillow about large images
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be no text
    failures: list[str] = []
    files = [file for name in given.images for file in _files(Path(name), failures)]

    def fail(file: str | Path, error: Exception) -> None:
        failures.append(f"{file}: {_reason(error)}")

    rows: list[dict[str, Any]] = []
    try:
        network = load(given.device)
        for file, best in _classified(files, given.top, network, fail):
            if given.json:
                classes = [{"name": name, "probability": share} for name, share in best]
                rows.append({"file": str(file), "classes": classes})
            else:
                print(f"{file}: " + ", ".join(f"{name} {share:.1%}" for name, share in best))
    except ImportError as error:
        failures.append(f"network.py needs a package that is not installed: {error}")
    except OSError as error:
        failures.append(f"{error.filename}: {_reason(error)}")
    except (ValueError, RuntimeError) as error:
        failures.append(_reason(error))
    if given.json:
        print(json.dumps(rows, indent=1))
    for failure in failures:
        print(f"predict.py: {failure}", file=sys.stderr)
    return 2 if failures else 0


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def _files(path: Path, failures: list[str]) -> Iterator[Path]:
    """Yield a file itself, or a folder's images at any depth; hidden ones are left out."""
    if not path.is_dir():
        yield path
        return
    found = [
        file
        for file in sorted(path.rglob("*"))
        if file.suffix.lower() in SUFFIXES and file.is_file()
        if not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    if not found:
        failures.append(f"{path}: the folder holds no images")
    yield from found


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


if __name__ == "__main__":
    sys.exit(main())
