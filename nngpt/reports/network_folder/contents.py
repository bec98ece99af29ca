"""The contents of a trained network's folder as facts and tables, for its card and its page."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nngpt import statistics
from nngpt.data.images import ImageFormat
from nngpt.data.splits import Part, Splits
from nngpt.data.transform_names import spec
from nngpt.records import LATENCY_BATCH, Candidate, Package
from nngpt.reports.network_folder.measures import BINS, Answers
from nngpt.reports.sheets import Sheet
from nngpt.reports.text import NONE, accuracy, amount, plural

_NAMED = 5
"""Largest number of classes that a title names."""

_MATRIX = 20
"""Largest number of classes whose confusions are a matrix, and of confusions in a list."""


@dataclass(frozen=True)
class Origin:
    """Where a trained network comes from, in words.

    Attributes:
        title: one line: the run, and the network's place in it.
        author: who wrote the network, a line each.
        licence: licence of the code, one line.
        training: how the weights were trained, a line each.
        accuracies: what was measured before this folder was written, a line each.
        again: command that trains the network again.
        epochs: number of epochs of the training.
    """

    title: str
    author: tuple[str, ...]
    licence: str
    training: tuple[str, ...]
    accuracies: tuple[str, ...]
    again: str
    epochs: int


@dataclass(frozen=True)
class Front:
    """The front of several objectives, of which one network is the most accurate.

    Attributes:
        objectives: "accuracy", and of "parameters", "latency" and "macs" those that made the front.
        others: its other networks, the most accurate first, by their folders below the first's.
    """

    objectives: tuple[str, ...]
    others: Mapping[str, Contents]


@dataclass(frozen=True)
class Contents:
    """A trained network, measured by its files.

    Attributes:
        weights: contents of the safetensors file.
        package: what the files give.
        splits: the data that the network was trained, chosen and tested on.
        leaderboard: the networks it was chosen from, None if there were no others.
        front: networks beside which it stands as the most accurate, None if accuracy alone chose.
    """

    candidate: Candidate
    weights: bytes
    package: Package
    splits: Splits
    origin: Origin
    leaderboard: Sheet | None
    front: Front | None = None

    @cached_property
    def answers(self) -> Answers:
        """The network's answers to the test images."""
        labels = np.asarray(self.splits.test.open_labels(), np.int64)
        return Answers(self.package.logits, labels)

    @property
    def title(self) -> str:
        """What the network is for: the data set, or the classes of a folder of images."""
        splits = self.splits
        if splits.image_format is None or len(splits.class_names) > _NAMED:
            return f"An image classifier for {splits.name}"
        return f"An image classifier: {', '.join(splits.class_names)}"

    @property
    def test(self) -> str:
        """Test accuracy with its interval, such as `97.0% [95.7–97.9] of 1,000 test images`."""
        return f"{judged_95(*self.answers.judged)} test images"

    @property
    def format(self) -> ImageFormat | None:
        """How an image file becomes an input; None if images have no such number of channels."""
        channels, height, width = self.splits.shape
        if self.splits.image_format is not None:
            return self.splits.image_format
        if channels not in (1, 3):
            return None
        return ImageFormat(1 if channels == 1 else 3, height, width)

    @property
    def packages(self) -> tuple[str, ...]:
        """Packages beyond torch that the network's files import."""
        found = set[str]()
        for node in ast.walk(ast.parse(self.candidate.code)):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module).partition(".")[0])
        if spec(self.candidate.transform) is None:
            found.add("torchvision")
        return tuple(sorted(found - sys.stdlib_module_names - {"torch"}))

    @property
    def settings(self) -> dict[str, Any]:
        """The facts about the network that `predict.py` needs."""
        candidate, package, splits = self.candidate, self.package, self.splits
        known, form = spec(candidate.transform), self.format
        return {
            "title": self.title,
            "id": candidate.content_hash,
            "classes": list(splits.class_names),
            "format": None if form is None else vars(form),
            "size": known.size if known else None,
            "normalise": bool(known and known.normalise),
            "mean": list(splits.mean),
            "std": list(splits.std),
            "transform": candidate.transform if known is None else None,
            "in_shape": list(package.in_shape),
            "prm": {
                **candidate.hyperparameters,
                "batch": candidate.batch,
                "epoch": self.origin.epochs,
                "transform": candidate.transform,
            },
            "seed": package.seed,
            "needs_setup": package.needs_setup,
            "packages": list(self.packages),
        }

    @property
    def cost(self) -> list[tuple[str, str]]:
        """Size and speed of the network; the network's own process counted them."""
        package = self.package
        where = f"{plural(package.threads, 'thread')} of {package.machine}"
        if package.device != "cpu":
            where = package.machine
        return [
            ("parameters", f"{package.claimed_parameters:,} (claimed)"),
            ("weights.safetensors", f"{len(self.weights):,} bytes"),
            ("operations", f"{_flops(package.claimed_flops)} for one image (claimed)"),
            ("latency", f"{_ms(package.claimed_latency_ms)} for one image, median, on {where}"),
            (
                "throughput",
                f"{_ms(package.claimed_batch_ms)} for {LATENCY_BATCH} images at once, likewise",
            ),
        ]

    @property
    def facts(self) -> dict[str, Any]:
        """Facts about the network for a script."""
        answers, package = self.answers, self.package
        return {
            "content_hash": self.candidate.content_hash,
            "dataset": self.splits.name,
            "class_names": list(self.splits.class_names),
            "test": answers.judged,
            "validation": package.validation,
            "calibration_error": round(answers.calibration_error, 6),
            "confusion": answers.confusion.tolist(),
            "claimed_parameters": package.claimed_parameters,
            "claimed_flops": package.claimed_flops,
            "claimed_latency_ms": package.claimed_latency_ms,
            "claimed_batch_ms": package.claimed_batch_ms,
            "device": package.device,
            "machine": package.machine,
            "threads": package.threads,
            "in_shape": package.in_shape,
            "needs_setup": package.needs_setup,
            "packages": list(self.packages),
            "onnx": package.onnx_judged,
            "onnx_error": package.onnx_error,
            "onnx_engine": package.onnx_engine,
            "onnx_problem": package.onnx_problem,
            "hyperparameters": dict(self.candidate.hyperparameters),
            "batch": self.candidate.batch,
            "transform": self.candidate.transform,
            "seed": package.seed,
        }


def judged_95(correct: int, total: int) -> str:
    """Format counts of answers as an accuracy: `97.0% [95.7–97.9] of 1,000`."""
    return f"{accuracy(statistics.accuracy(correct / total, total))} of {total:,}"


def classes_sheet(contents: Contents) -> Sheet:
    """Return the table of classes: images of each part, and accuracy on the test images."""
    splits, confusion = contents.splits, contents.answers.confusion
    counts = [_counts(part, splits.classes) for part in (splits.train, splits.validation)]
    rows = []
    for number, name in enumerate(splits.class_names):
        images, right = int(confusion[number].sum()), int(confusion[number, number])
        found = accuracy(statistics.accuracy(right / images, images)) if images else NONE
        parts = (f"{part[number]:,}" for part in counts)
        rows.append((name, *parts, f"{images:,}", found))
    heads = ("class", ">training", ">validation", ">test", ">test accuracy [95%]")
    return Sheet("Images by class", heads, tuple(rows))


def confusion_sheet(contents: Contents) -> Sheet:
    """Return the confusion matrix on the test images; of many classes, the most frequent ones."""
    answers, names = contents.answers, contents.splits.class_names
    if len(names) <= _MATRIX:
        rows = tuple(
            (name, *(f"{count:,}" for count in row))
            for name, row in zip(names, answers.confusion.tolist(), strict=True)
        )
        heads = ("true class", *(f">{name}" for name in names))
        return Sheet("Confusion matrix", heads, rows, "Test images by true and predicted class.")
    shown = answers.confusions[:_MATRIX]
    rows = tuple((names[one], names[other], f"{count:,}") for one, other, count in shown)
    note = f"The {len(shown)} most frequent of {len(answers.confusions)} confusions."
    return Sheet("Confusions", ("true class", "predicted", ">test images"), rows, note)


def calibration_sheet(contents: Contents) -> Sheet:
    """Return the table of confidence and accuracy on the test images."""
    rows = tuple(
        (f"{b.low:.0%}–{b.high:.0%}", f"{b.count:,}", f"{b.confidence:.1%}", f"{b.accuracy:.1%}")
        for b in contents.answers.bins
    )
    heads = ("confidence", ">test images", ">mean confidence", ">accuracy")
    return Sheet("Calibration", heads, rows, calibration_line(contents))


def calibration_line(contents: Contents) -> str:
    """Return the expected calibration error, with how it is computed."""
    error = contents.answers.calibration_error
    return (
        f"Expected calibration error {error:.2%}: the mean of |confidence − accuracy| over {BINS} "
        "equal bins of the predicted class's probability, weighted by test images."
    )


def preprocessing(contents: Contents) -> list[str]:
    """Return how an image file becomes the network's input, a line each."""
    form, known, splits = contents.format, spec(contents.candidate.transform), contents.splits
    lines = []
    if form is not None:
        colours = "grey" if form.channels == 1 else "colour"
        how = {
            "stretch": "resized, which changes the aspect ratio",
            "pad": "resized with its aspect ratio, the rest filled",
            "crop": "resized with its aspect ratio, what is too long cut off",
        }[form.resize]
        behind = ", ".join(map(str, form.background))
        lines.append(f"an image becomes {colours}, {form.height}×{form.width} pixels: {how}")
        lines.append(f"transparent pixels lie on the colour ({behind}); EXIF orientation counts")
    if known is None:
        lines.append("then the transform below, without its random steps")
        return lines
    lines.append("then pixels are divided by 255")
    if known.size:
        lines.append(f"resized to {known.size}×{known.size} (bilinear, antialiased)")
    if known.normalise:
        mean, std = ([round(n, 4) for n in part] for part in (splits.mean, splits.std))
        lines.append(f"less the mean {mean}, divided by the deviation {std} of the training images")
    return lines


def _counts(part: Part, classes: int) -> list[int]:
    return [int(count) for count in np.bincount(part.open_labels(), minlength=classes)]


def _flops(count: int | None) -> str:
    return "not counted" if count is None else amount(count)


def _ms(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f} ms (claimed)"
