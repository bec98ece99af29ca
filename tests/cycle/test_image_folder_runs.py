"""Runs on a folder of images: their classes are stored, and other images are refused."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from command_line import ANSWERS, Nngpt
from PIL import Image
from quick_runs import database, quick_run, write_answers

from nngpt.data import cache
from nngpt.errors import UserError
from nngpt.store import Store

FEW = ("task.dataset=shapes", "candidates.per_cycle=2", "llm.batch_size=2")


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images beside the LLM's script, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NNGPT_CACHE", str(tmp_path / "cache"))
    write_answers(tmp_path, ANSWERS)
    for name in ("circle", "square"):
        (tmp_path / "shapes" / name).mkdir(parents=True)
        for number, pixels in enumerate(np.random.default_rng(1).integers(0, 255, (12, 8, 8))):
            file = tmp_path / "shapes" / name / f"{number}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(file)
    return tmp_path / "shapes"


def forget_images(folder: Path) -> None:
    """Make a run look like one of an nngpt that recorded neither classes nor images."""
    with Store.open(database(folder)) as store, store.lease(1) as lease:
        lease.describe_images((), "")


def age_cache(changed: bool) -> None:
    """Make the cached images look like those of the older reader, whose pixels may differ."""
    (path,) = cache.folder("").glob("image-folder-*/meta.json")
    meta = cache.read_meta(path.parent.name)
    assert meta is not None
    values = {name: asdict(meta)[name] for name in ("name", "classes", "shape", "source", "sha256")}
    if changed:
        values["sha256"]["train_x"] = "0" * 64
    old = cache.folder("image-folder-old")
    old.mkdir()
    (old / "meta.json").write_text(json.dumps(values))


def test_a_run_stores_its_classes_and_is_not_resumed_with_other_images(
    shapes: Path, tmp_path: Path, call_nngpt: Nngpt
) -> None:
    quick_run(tmp_path, 1, *FEW)
    with Store.open(database(tmp_path)) as store:
        run = store.run(1)
    assert run.class_names == ("circle", "square") and len(run.images_digest or "") == 64
    quick_run(tmp_path, 2, *FEW)
    os.utime(shapes / "circle" / "0.png")  # read again, with the same pixels
    quick_run(tmp_path, 3, *FEW)
    Image.new("L", (8, 8)).save(shapes / "circle" / "0.png")
    with pytest.raises(UserError, match=r"run 1 .* began with other images"):
        quick_run(tmp_path, 4, *FEW)
    for words in (("confirm",), ("export", "--out", "best")):
        refused = call_nngpt("cycle", *words)
        assert refused.returncode == 2 and "began with other images" in refused.stderr


@pytest.mark.parametrize("changed", [False, True])
def test_a_run_of_the_older_reader_is_resumed_with_the_same_pixels_only(
    shapes: Path, tmp_path: Path, changed: bool
) -> None:
    quick_run(tmp_path, 1, *FEW)
    forget_images(tmp_path)
    age_cache(changed)
    if changed:
        with pytest.raises(UserError, match="this version of nngpt reads them in another way"):
            quick_run(tmp_path, 2, *FEW)
    else:
        quick_run(tmp_path, 2, *FEW)
    with Store.open(database(tmp_path)) as store:
        assert store.run(1).class_names == (() if changed else ("circle", "square"))
