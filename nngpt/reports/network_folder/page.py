"""The page of a trained network: figures, leaderboard, classes, pictures that it gets wrong."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from nngpt.reports.analysis.layers import CodeLayer, kind_of
from nngpt.reports.diagram import diagram
from nngpt.reports.network_folder.card import TEST_ONCE
from nngpt.reports.network_folder.contents import (
    Contents,
    calibration_sheet,
    classes_sheet,
    confusion_sheet,
    judged_95,
    preprocessing,
)
from nngpt.reports.network_folder.front import front_plot, front_sheet
from nngpt.reports.pages import render
from nngpt.reports.text import plural

_MOST_PICTURES = 24
_LONGEST_SIDE = 128
"""Pictures on a page, and their longest side in pixels."""


@dataclass(frozen=True)
class Picture:
    """A test image that the network gets wrong; `source` is a PNG as a data URI."""

    source: str
    label: str
    answer: str
    confidence: float


def page(contents: Contents) -> str:
    """Return the page of a network as HTML, which needs no other file."""
    answers, package = contents.answers, contents.package
    wrong = answers.judged[1] - answers.judged[0]
    return render(
        "network.html",
        contents=contents,
        tiles=tiles(contents),
        front=front_sheet(contents) if contents.front else None,
        plot=front_plot(contents) if contents.front else None,
        leaderboard=contents.leaderboard,
        classes=classes_sheet(contents),
        confusion=confusion_sheet(contents),
        calibration=calibration_sheet(contents),
        diagram=diagram(drawn_layers(contents)),
        pictures=pictures(contents),
        wrong=wrong,
        preprocessing=preprocessing(contents),
        validation=judged_95(*package.validation),
        test_once=TEST_ONCE,
    )


def tiles(contents: Contents) -> list[tuple[str, str, str]]:
    """Return the figures at the top of the page: value, name, detail."""
    package, answers = contents.package, contents.answers
    latency = package.claimed_latency_ms
    return [
        (f"{answers.judged[0] / answers.judged[1]:.1%}", "test accuracy", contents.test),
        (f"{package.claimed_parameters:,}", "parameters", f"{len(contents.weights):,} bytes"),
        (
            "–" if latency is None else f"{latency:.2f} ms",
            "for one image",
            f"{plural(package.threads, 'thread')} of {package.machine}",
        ),
        (f"{answers.calibration_error:.1%}", "calibration error", "expected, 15 bins"),
    ]


def drawn_layers(contents: Contents) -> list[CodeLayer]:
    """Return the layers that make the network's shape, with what each gives as its argument."""
    ran = [(kind_of(name), name, shape) for name, shape in contents.package.claimed_layers]
    return [
        CodeLayer(kind, name, f"→ {'×'.join(map(str, shape))}")
        for kind, name, shape in ran
        if kind not in ("norm", "activation", "dropout") and name not in ("Flatten", "Identity")
    ]


def pictures(contents: Contents) -> list[Picture]:
    """Return test images that the network gets wrong, the most confident mistakes first."""
    images, names = contents.splits.test.open_images(), contents.splits.class_names
    return [
        Picture(_png(images[one.index]), names[one.label], names[one.answer], one.confidence)
        for one in contents.answers.mistakes(_MOST_PICTURES)
    ]


def _png(image: npt.NDArray[np.uint8]) -> str:
    """Return an image, uint8 [c, h, w], as a PNG of at most `_LONGEST_SIDE`, as a data URI.

    Of other than three channels the first is shown.
    """
    pixels = np.moveaxis(image, 0, -1) if len(image) == 3 else image[0]
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
