"""`nngpt rag` from the command line, with blocks of torchvision."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from command_line import Nngpt, run_nngpt

Rag = Callable[..., "CompletedProcess[str]"]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder whose database contains torchvision."""
    folder = tmp_path_factory.mktemp("indexed")
    done = run_nngpt(folder, ["rag", "index", "torchvision"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("torchvision") and "(BSD-3-Clause)" in done.stdout
    return folder


@pytest.fixture
def rag(indexed: Path, nngpt: Nngpt) -> Rag:
    return lambda *words: nngpt("rag", *words, "--folder", indexed / "runs")


def test_list_search_show(rag: Rag) -> None:
    assert "torchvision" in rag("list").stdout
    blocks = json.loads(rag("list", "--source", "torchvision", "--json").stdout)
    assert "torchvision:torchvision.models.resnet.Bottleneck" in blocks and len(blocks) > 200
    hits = json.loads(rag("search", "squeeze excitation", "--top", 2, "--json").stdout)
    assert hits[0]["target"] == "torchvision:torchvision.ops.misc.SqueezeExcitation"
    assert len(hits) == 2 and "words" not in hits[0]
    shown = rag("show", "torchvision.ops.SqueezeExcitation").stdout
    assert "# licence: BSD-3-Clause" in shown and "class SqueezeExcitation" in shown


def test_extract_writes_a_file_that_runs(rag: Rag, tmp_path: Path) -> None:
    out = tmp_path / "block.py"
    told = rag("extract", "torchvision.models.resnet.Bottleneck", "--out", out)
    assert told.returncode == 0, told.stderr
    scope: dict[str, object] = {"__name__": "block"}
    exec(compile(out.read_text(), str(out), "exec"), scope)
    assert callable(scope["Bottleneck"])
    assert rag("extract", "torchvision.models.resnet.Bottleneck").stdout == out.read_text()
    facts = json.loads(rag("extract", "resnet.Bottleneck", "--json").stdout or "{}")
    assert facts == {} or facts["name"] == "Bottleneck"


def test_bench_grades_in_the_sandbox(rag: Rag, tmp_path: Path) -> None:
    (tmp_path / "targets.txt").write_text(
        "torchvision:torchvision.ops.misc.Conv2dNormActivation\n"
        "torchvision:torchvision.models.googlenet.InceptionAux\n"
        "torchvision:torchvision.models._utils.IntermediateLayerGetter\n"
        "torchvision:torchvision.models.resnet.Bottle\n"
    )
    told = rag("bench", "--targets", tmp_path / "targets.txt", "--run", "--json")
    assert told.returncode == 0, told.stderr
    grades = {one["target"].rpartition(".")[2]: one for one in json.loads(told.stdout)}
    assert grades["Conv2dNormActivation"]["level"] == "runs"
    assert grades["IntermediateLayerGetter"]["level"] == "imports"
    assert grades["IntermediateLayerGetter"]["why"].startswith("cannot be built")
    assert grades["Bottle"]["level"] == "nothing"
    table = rag("bench", "--source", "torchvision", "--limit", 5)
    assert table.returncode == 0 and "closed" in table.stdout


def test_user_errors_are_one_line(indexed: Path, call_nngpt: Nngpt, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    there = ("--folder", indexed / "runs")
    for words, line in (
        (("extract", "torchvision.models.resnet.Bottlenek"), "Nearest: torchvision.models.resnet."),
        (("extract", "Bottleneck"), "is defined in"),
        (("extract", "timm:timm.layers.Mlp"), "timm: is not indexed"),
        (("list", "--source", "torchvison"), "Did you mean 'torchvision'"),
        (("index", "no-such-package"), "no-such-package: is not installed"),
        (("index", tmp_path / "empty"), "contains no Python module"),
        (("index", tmp_path / "none.whl"), "cannot be read as an archive"),
        (("remove", "timm"), "timm: is not indexed"),
        (("bench", "--targets", tmp_path / "none.txt"), "none.txt: cannot be read"),
    ):
        told = call_nngpt("rag", *words, *there)
        assert told.returncode == 2 and len(told.stderr.splitlines()) == 1, (words, told.stderr)
        assert line in told.stderr
    none = call_nngpt("rag", "search", "attention")
    assert none.returncode == 2 and "Index some: nngpt rag index" in none.stderr
    nothing = call_nngpt("rag", "search", "quantum chromodynamics", *there)
    assert (nothing.returncode, nothing.stdout) == (1, "")
