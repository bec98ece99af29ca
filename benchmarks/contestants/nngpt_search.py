"""`nngpt search` by its real command line, measured by wall time on a quiet machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nngpt import config
from nngpt.data.loading import data_source, load_splits

QUIET = 0.7
"""Highest load average (one minute) at the start."""

FOLDER = "-folder"
"""Ending of a data set's name that stands for the same images as a folder of PNGs."""


def run(name: str, seed: int, minutes: float) -> dict[str, Any]:
    """Wait until the machine is quiet, search, and return the row's facts."""
    with tempfile.TemporaryDirectory() as work:
        data = name
        if name.endswith(FOLDER):
            data = str(write_images(name.removesuffix(FOLDER), Path(work) / "images"))
        while os.getloadavg()[0] >= QUIET:
            time.sleep(5)
        command = [sys.executable, "-m", "nngpt", "search", data, "--minutes", f"{minutes:g}"]
        command += ["--seed", str(seed), "--out", f"{work}/best", "--folder", f"{work}/search"]
        load, began = os.getloadavg()[0], time.monotonic()
        done = subprocess.run([*command, "--json"], stdout=subprocess.PIPE, text=True, check=True)
        wall_s = time.monotonic() - began
    return {**facts(json.loads(done.stdout)), "wall_s": round(wall_s, 1), "load_start": load}


def facts(found: dict[str, Any]) -> dict[str, Any]:
    """Return what a row says of the search's JSON."""
    correct, total = found["test"]
    return {
        "correct": correct,
        "total": total,
        "parameters": found["claimed_parameters"],
        "note": found["network"],
    }


def write_images(name: str, folder: Path) -> Path:
    """Write a data set as a folder of PNGs, `train` and `test`; return the folder."""
    settings = config.load(None, [f"task.dataset={name}"])
    splits = load_splits(settings, data_source(settings), print)
    for part, where in (
        (splits.train, "train"),
        (splits.validation, "train"),
        (splits.test, "test"),
    ):
        pairs = zip(part.open_images(), part.open_labels(), strict=True)
        for number, (image, label) in enumerate(pairs):
            file = folder / where / splits.class_names[label] / f"{part.images.stem}{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.moveaxis(image, 0, -1).squeeze()).save(file)
    return folder
