"""The card of a trained network in Markdown: what it can do, its origin, how to use it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nngpt.data.transform_names import spec
from nngpt.reports.network_folder.contents import (
    Contents,
    calibration_line,
    classes_sheet,
    confusion_sheet,
    judged_95,
    preprocessing,
)
from nngpt.reports.network_folder.front import front_sheet
from nngpt.reports.sheets import Sheet, markdown_table, plain

LIMITS = (
    "One training with one seed: another seed gives another accuracy.",
    "Images unlike the test images (other cameras, cut-outs, classes) are answered less well, "
    "and never with “none of these”.",
    "Parameters, operations and latency were counted by the network's own process.",
    "nngpt ran the network in a sandbox only. Loading `network.py` runs its code with your rights: "
    "read it first, or use the ONNX file.",
)

TEST_ONCE = (
    "The test images were answered once, for this card, after validation images had chosen the "
    "network. The result selected nothing; choose by it, and it is no longer an honest estimate."
)


def card(contents: Contents) -> str:
    """Return a network's card as Markdown."""
    candidate, origin = contents.candidate, contents.origin
    names = contents.splits.class_names
    parts = [
        f"# {plain(contents.title)}\n",
        f"{plain(origin.title)}. It tells {len(names):,} classes apart: {_listed(names)}.\n",
        _section("Use it", use(contents)),
        _section("Accuracy", _lines([*accuracies(contents), *map(plain, origin.accuracies)])),
        _table(front_sheet(contents)) if contents.front else "",
        _table(classes_sheet(contents)),
        _table(confusion_sheet(contents)),
        f"### Calibration\n\n{calibration_line(contents)}\n",
        _section("Preprocessing", _lines(map(plain, preprocessing(contents)))),
        fenced(candidate.transform) if spec(candidate.transform) is None else "",
        _section("Size and speed", _lines(f"{key}: {plain(text)}" for key, text in contents.cost)),
        _section("Training", _lines(map(plain, (*origin.training, *settings(contents))))),
        _section("Train it again", fenced(origin.again, "console")),
        _section(
            "Who wrote it", _lines(map(plain, (*origin.author, f"licence: {origin.licence}")))
        ),
        _section("Limits", _lines(LIMITS)),
    ]
    return "\n".join(part for part in parts if part)


def use(contents: Contents) -> str:
    """Return the section of a card on how to use the folder."""
    packages = " ".join(["torch", "pillow", *contents.packages])
    shell = [f"$ pip install {packages}", "$ python predict.py IMAGE_OR_FOLDER --top 3 --json"]
    python = ["from predict import load, predict", "", 'print(predict(["image.png"], top=3))']
    text = fenced("\n".join(shell), "console") + "\n" + fenced("\n".join(python), "python")
    if contents.package.onnx is None:
        problem = contents.package.onnx_problem
        return text + (f"\nThere is no `network.onnx`: {plain(problem)}.\n" if problem else "")
    return f"{text}\nWithout the network's code, by `network.onnx` (any number of images):\n\n" + (
        fenced(HOW_TO_RUN_ONNX, "python")
    )


HOW_TO_RUN_ONNX = """import onnxruntime
from predict import pixels, preprocess

images = preprocess(pixels("image.png")[None]).numpy()  # float32 [b, c, h, w]
session = onnxruntime.InferenceSession("network.onnx")
(logits,) = session.run(None, {"images": images})  # [b, classes]
"""


def accuracies(contents: Contents) -> Iterator[str]:
    """Yield what the files of the folder give, a line of Markdown each."""
    package = contents.package
    yield f"**{contents.test}**. {TEST_ONCE}"
    yield f"validation: {judged_95(*package.validation)}, from these files in a fresh process"
    if package.onnx_judged is not None:
        judged, engine = judged_95(*package.onnx_judged), plain(package.onnx_engine)
        yield (
            f"`network.onnx` alone, by {engine}: {judged} test images; its logits differ from the "
            f"network's by at most {package.onnx_error:.1g}"
        )
        if spec(contents.candidate.transform) is None:
            yield "its accuracy depends on the transform's code, which ran beside `network.onnx`"


def settings(contents: Contents) -> Iterator[str]:
    """Yield the lines of a card on the settings of the training."""
    candidate, splits, seed = contents.candidate, contents.splits, contents.package.seed
    yield f"{splits.train.count:,} training images of {splits.name}"
    values = ", ".join(f"{k} {v:g}" for k, v in candidate.hyperparameters.items())
    yield f"hyperparameters: {values or 'none'}; batch {candidate.batch}; seed {seed}"
    yield f"transform: {candidate.transform if spec(candidate.transform) else 'source text, above'}"
    yield f"content hash of the code: {candidate.content_hash}"


def fenced(text: str, language: str = "") -> str:
    """Return a fenced code block for a card; its fence does not occur in `text`."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def _listed(names: tuple[str, ...], most: int = 20) -> str:
    shown = ", ".join(map(plain, names[:most]))
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)


def _table(sheet: Sheet) -> str:
    return markdown_table(sheet)
