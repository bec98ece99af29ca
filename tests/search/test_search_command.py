"""`nngpt search` by its real command line on a small folder, with portfolio and LLM."""

from __future__ import annotations

import itertools
import json
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import TWO_LAYERS, begin_nngpt, run_nngpt
from PIL import Image, ImageDraw

SHAPES = ("circle", "cross")
ONE_OF_THE_LLM = (
    *("--designs", 1, "--set", f"prompt.template={TWO_LAYERS}"),
    *("--set", "sampling.max_new_tokens=24"),
)
ONE_PROCESS = ("--set", "evaluation.workers=1")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two classes, of two sizes and in grey and colour, and one broken file."""
    root, chance = tmp_path_factory.mktemp("shapes") / "images", random.Random(5)
    for label in SHAPES:
        (root / label).mkdir(parents=True)
        for number in range(60):
            draw_shape(label, chance).save(root / label / f"{number}.png")
    (root / "circle" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (root / ".DS_Store").write_bytes(b"x")
    return root


def draw_shape(label: str, chance: random.Random) -> Image.Image:
    side, mode = chance.choice((24, 32)), chance.choice(("L", "RGB"))
    picture = Image.new(mode, (side, side), "black")
    draw = ImageDraw.Draw(picture)
    low, high = chance.randint(1, 6), side - chance.randint(2, 7)
    if label == "circle":
        draw.ellipse((low, low, high, high), fill="white")
    else:
        draw.line((low, low, high, high), fill="white", width=3)
        draw.line((low, high, high, low), fill="white", width=3)
    return picture


def search(data: Path, images: int, *more: object) -> tuple[object, ...]:
    """Return a search that ends long before its time, even beside other work on the machine.

    Small networks pass all epochs of a search on few images within seconds.
    """
    few = ("--candidates", 2, "--max-parameters", 40_000, "--set", f"task.train_limit={images}")
    return ("search", data, *few, "--minutes", 4.9, "--folder", "work", "--out", "best", *more)


def test_a_folder_of_images_becomes_a_network_that_predicts(shapes: Path, tmp_path: Path) -> None:
    done = run_nngpt(tmp_path, search(shapes, 16, *ONE_OF_THE_LLM, *ONE_PROCESS, "--json"))
    assert done.returncode == 0, done.stderr
    for line in (
        "skipped 1 of 121 files",
        "2 classes",
        "circle ",
        "and 1 of the LLM",
        "Networks of the portfolio: right of",
        "Networks of the LLM: right of",
        "Final training",
        "Testing on 12 images",
    ):
        assert line in done.stderr
    assert not re.search("scripted|Cycle 1|Learning|design #1 ", done.stderr)  # its runs are silent
    found = json.loads(done.stdout)
    correct, total = found["test"]
    assert total == 12
    assert correct >= 10
    names = {path.name for path in (tmp_path / "best").iterdir()}
    assert {"network.py", "weights.safetensors", "predict.py", "card.md", "report.html"} <= names

    chance = random.Random(99)
    unseen = {label: tmp_path / f"{label}.png" for label in SHAPES}
    for label, path in unseen.items():
        draw_shape(label, chance).save(path)
    told = subprocess.run(
        [sys.executable, tmp_path / "best" / "predict.py", *unseen.values(), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(label in told.stdout for label in SHAPES)

    listed = run_nngpt(tmp_path, ("cycle", "list", "--folder", "work"))
    assert "portfolio" in listed.stdout
    assert "llm" in listed.stdout


def test_several_objectives_find_a_front(shapes: Path, tmp_path: Path) -> None:
    objectives = ("--objective", "parameters", "--objective", "latency")
    few = (*ONE_PROCESS, "--designs", 0, "--candidates", 3)
    arguments = search(shapes, 8, *few, *objectives, "--json")
    done = run_nngpt(tmp_path, arguments)
    assert done.returncode == 0, done.stderr
    assert "Final training" in done.stderr
    found = json.loads(done.stdout)
    front = found["front"]
    assert front[0]["title"] == found["network"]
    assert front[0]["folder"] == ""
    assert all(one["claimed_latency_ms"] > 0 for one in front)
    for one, other in itertools.combinations(front, 2):  # the most accurate first
        assert one["validation"] >= other["validation"]
    for one in front:
        files = {path.name for path in (tmp_path / "best" / one["folder"]).iterdir()}
        assert {"network.py", "weights.safetensors", "predict.py"} <= files
    assert "### Front of accuracy, parameters and latency" in (
        tmp_path / "best" / "card.md"
    ).read_text(encoding="utf-8")


def test_a_killed_search_goes_on_and_can_be_finished_early(shapes: Path, tmp_path: Path) -> None:
    arguments = search(shapes, 8, "--designs", 0, "--objective", "macs")
    running = begin_nngpt(tmp_path, arguments)
    stages = tmp_path / "work" / "stages.jsonl"
    while not running.ended and not (stages.exists() and stages.read_text().count("\n") > 1):
        time.sleep(0.1)
    running.send_signal(signal.SIGKILL)
    running.wait(60)
    before = stages.read_text().splitlines()
    other = run_nngpt(tmp_path, search(shapes.parent, 8, "--designs", 0))
    assert other.returncode == 2
    for _ in range(2):  # the second finds the weights of the result only
        finished = run_nngpt(tmp_path, (*arguments, "--finish"))
        assert finished.returncode == 0, finished.stderr
    assert "The search resumes" in finished.stderr + finished.stdout
    assert stages.read_text().splitlines() == before
    assert (tmp_path / "best" / "predict.py").is_file()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nowhere",), "nowhere"),
        (("mnist", "--minutes", "0"), "--minutes"),
        (("mnist", "--out", "full"), "is not empty"),
        (("mnist", "--device", "tpu"), "device"),
    ],
)
def test_a_wrong_request_is_told(arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    done = run_nngpt(tmp_path, ("search", *arguments))
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"full"}
