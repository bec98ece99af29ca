"""Write the folder of a trained network; its files work without nngpt."""

from __future__ import annotations

import ast
import pprint
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from nngpt import files
from nngpt.reports.network_folder.card import card
from nngpt.reports.network_folder.contents import Contents
from nngpt.reports.network_folder.front import front_facts
from nngpt.reports.network_folder.page import page

_IMAGES = "from nngpt.data.images import ImageFormat, load_image\n"
_SETTINGS = "SETTINGS: dict[str, Any] = {}\n"
"""Lines of `predict.py` in place of which come the module's text and the network's settings."""


def write_network_folder(folder: Path, contents: Contents) -> dict[str, Any]:
    """Write the folder of a trained network at once, in place of an older one, and return facts.

    The other networks of its front are folders of the same kind inside.

    Raises: UserError if the folder cannot be written.
    """
    front = contents.front
    with files.scratch(folder) as partial, files.write_errors(folder):
        for name, one in {"": contents, **(front.others if front else {})}.items():
            (partial / name).mkdir(parents=True, exist_ok=True)
            for file, data in _parts(one).items():
                (partial / name / file).write_bytes(
                    data.encode() if isinstance(data, str) else data
                )
        partial.chmod(0o755)
        files.publish(partial, folder)
    return contents.facts | ({"front": front_facts(contents)} if front else {})


def _parts(contents: Contents) -> dict[str, bytes | str]:
    """Return the files of a network's folder by name."""
    parts: dict[str, bytes | str] = {
        "network.py": code(contents),
        "weights.safetensors": contents.weights,
        "card.md": card(contents),
        "report.html": page(contents),
    }
    settings = contents.settings
    if contents.format is not None:
        parts["predict.py"] = predict_script(settings)
    if settings["transform"] is not None:
        parts["transform.py"] = _source("nngpt.sandbox", "source_transform.py")
    if contents.package.onnx is not None:
        parts["network.onnx"] = contents.package.onnx
    return parts


def code(contents: Contents) -> str:
    """Return the network's code, with its origin in comments."""
    origin = contents.origin
    lines = [origin.title, *origin.author, f"licence: {origin.licence}"]
    lines.append(f"content hash of what follows: {contents.candidate.content_hash}")
    comments = "".join(f"# {' '.join(line.split())}\n" for line in lines)
    return f"{comments}\n{contents.candidate.code}"


def predict_script(settings: dict[str, Any]) -> str:
    """Return the text of `predict.py` for a network."""
    text = _source("nngpt.reports.network_folder", "predict.py")
    told = pprint.pformat(settings, width=100, compact=True, sort_dicts=False)
    text = text.replace(_SETTINGS, f"SETTINGS: dict[str, Any] = {told}\n")
    return text.replace(_IMAGES, _body(_source("nngpt.data", "images.py")))


def _source(package: str, name: str) -> str:
    return resources(package).joinpath(name).read_text(encoding="utf-8")


def _body(source: str) -> str:
    """Return a module's text without its docstring and `__future__` import."""
    rest = ast.parse(source).body[1:]
    future = isinstance(rest[0], ast.ImportFrom) and rest[0].module == "__future__"
    return "".join(source.splitlines(keepends=True)[rest[future].lineno - 1 :])
