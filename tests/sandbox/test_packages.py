"""Folders of trained networks: `predict.py` answers as the network did in the sandbox."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sandbox_samples import HONEST, altered, candidate

from nngpt.data.splits import Splits
from nngpt.records import Exported, Package
from nngpt.reports.network_folder.contents import Contents, Front, Origin
from nngpt.reports.network_folder.folder import write_network_folder
from nngpt.reports.network_folder.measures import Answers
from nngpt.sandbox.executors.local import LocalExecutor

SEED = 5
ORIGIN = Origin("A test", ("nobody",), "none", ("one epoch",), ("none",), "$ nngpt", 1)
SOURCE = "transform = v2.Compose([v2.RandomCrop(10), v2.ToDtype(torch.float32, scale=True)])"
SET_UP = "self.to(self.device)"
EXTRA = altered(SET_UP, f"{SET_UP}\n        self.register_buffer('extra', torch.ones(3))")
MADE = "size = 8 *"
NOISE = altered(MADE, f"self.noise = torch.rand(1, 1, 12, 12)\n        {MADE}").replace(
    "self.features(x)", "self.features(x * self.noise)"
)
TYPES = altered(
    MADE,
    "self.few = nn.Parameter(torch.ones(2, 0, 3).bfloat16())\n"
    f"        self.register_buffer('flags', torch.rand(3) > 0.5)\n        {MADE}",
)
NETWORKS = {
    "named transform": (HONEST, "norm-16-flip"),
    "source of a transform": (HONEST, SOURCE),
    "tensors of train_setup": (EXTRA, "echo"),
    "numbers outside the weights": (NOISE, "norm"),
    "types of tensors": (TYPES, "norm"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_folder_answers_as_the_sandbox_did(
    name: str, start: Callable[..., LocalExecutor], splits: Splits, tmp_path: Path
) -> None:
    code, transform = NETWORKS[name]
    network, executor = candidate(code, transform=transform), start()
    exported = executor.export(network, SEED)
    assert isinstance(exported, Exported), exported
    package = executor.package(network, SEED, exported.weights, onnx=False)
    assert isinstance(package, Package), package
    assert package.needs_setup is (name == "tensors of train_setup")
    assert package.claimed_layers[-1] == ("Linear", (splits.classes,))
    folder = tmp_path / "network"
    for _ in range(2):  # an older folder is replaced
        contents = Contents(network, exported.weights, package, splits, ORIGIN, None)
        facts = write_network_folder(folder, contents)
    assert f"→ {splits.classes}</text>" in (folder / "report.html").read_text(encoding="utf-8")
    predict = loaded(folder / "predict.py")
    images = torch.from_numpy(np.array(splits.test.open_images()))
    found = predict.probabilities(images, predict.load("cpu"))
    expected = Answers(package.logits, np.array(splits.test.open_labels()))
    torch.testing.assert_close(found, torch.from_numpy(expected.probabilities), atol=1e-5, rtol=0)
    assert facts["test"] == expected.judged == (sum(expected.predicted == expected.labels), 10)
    assert json.loads(json.dumps(facts))["confusion"] == expected.confusion.tolist()
    Image.fromarray(images[3, 0].numpy()).save(tmp_path / "a.png")
    assert torch.equal(predict.pixels(tmp_path / "a.png"), images[3])
    ((best, share), *others), *_ = predict.predict([tmp_path / "a.png"], top=9)
    assert (best, share) == (str(int(found[3].argmax())), pytest.approx(float(found[3].max())))
    assert len(others) == splits.classes - 1
    assert (folder / "transform.py").exists() is (transform == SOURCE)
    assert ("torchvision" in facts["packages"]) is (transform == SOURCE)


def loaded(file: Path) -> Any:
    """Return a `predict.py` as a module."""
    spec = importlib.util.spec_from_file_location("predict", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_answers_are_measured() -> None:
    odds = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.96, 0.04]])
    answers = Answers(np.log(odds).astype(np.float32), np.array([0, 1, 1, 1]))
    assert answers.judged == (2, 4)
    assert answers.confusion.tolist() == [[1, 0], [2, 1]]
    assert answers.confusions == [(1, 0, 2)]
    # Bins of 1/15: 0.7 | 0.8 | 0.9 | 0.96, each with one image.
    gaps = [1 - 0.9, 0.8, 1 - 0.7, 0.96]
    assert answers.calibration_error == pytest.approx(sum(gaps) / 4, abs=1e-6)
    assert [(one.index, one.label, one.answer) for one in answers.mistakes(9)] == [
        (3, 1, 0),
        (1, 1, 0),
    ]
    assert [one.index for one in answers.mistakes(1)] == [3]


def test_a_front_is_a_table_a_figure_and_folders(
    start: Callable[..., LocalExecutor], splits: Splits, tmp_path: Path
) -> None:
    network, executor = candidate(HONEST, transform="norm"), start()
    exported = executor.export(network, SEED)
    assert isinstance(exported, Exported), exported
    package = executor.package(network, SEED, exported.weights, onnx=False)
    assert isinstance(package, Package), package
    small = replace(package, claimed_parameters=7, claimed_flops=None, claimed_latency_ms=0.25)
    one, other = (
        Contents(network, exported.weights, measured, splits, ORIGIN, None)
        for measured in (package, small)
    )
    front = Front(("accuracy", "parameters", "macs"), {"front/small": other})
    facts = write_network_folder(tmp_path / "best", replace(one, front=front))
    assert [row["folder"] for row in facts["front"]] == ["", "front/small"]
    assert [row["claimed_macs"] is None for row in facts["front"]] == [False, True]
    assert facts["front"][0]["test"] == facts["test"]
    card, page = ((tmp_path / "best" / name).read_text() for name in ("card.md", "report.html"))
    assert "### Front of accuracy, parameters and macs" in card
    (row,) = (line for line in card.splitlines() if line.startswith("| front/small"))
    assert row.endswith("| 7 | – | 0.25 ms |")
    assert "chose nothing" in card
    assert "trainable parameters" not in card and "<svg" in page
    small_folder = tmp_path / "best" / "front" / "small"
    assert {path.name for path in small_folder.iterdir()} >= {"network.py", "card.md"}
    assert "Front of" not in (small_folder / "card.md").read_text()
    images = torch.from_numpy(np.array(splits.test.open_images()))
    predict = loaded(small_folder / "predict.py")
    assert len(predict.probabilities(images, predict.load("cpu"))) == splits.test.count
