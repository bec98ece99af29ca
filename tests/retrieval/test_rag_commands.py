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


def test_audits_are_lines_of_json(rag: Rag, tmp_path: Path) -> None:
    detector, resize = "models.detection.fcos.FCOS", "transforms.v2._geometry.Resize"
    one, two, both = (tmp_path / f"{name}.jsonl" for name in ("one", "two", "both"))
    out = ("--out", tmp_path / "block.py", "--audit", one)
    told = rag("extract", f"torchvision.{detector}", *out)
    assert told.returncode == 0, told.stderr
    taken = [json.loads(line) for line in one.read_text().splitlines()]
    assert {row["block"] for row in taken} == {f"torchvision:torchvision.{detector}"}
    assert taken[0]["kind"] == "definition" and taken[0]["file"].endswith("fcos.py")
    assert "torch.ops.torchvision.nms" in {row["name"] for row in taken if row["failure"]}
    refused = rag("extract", f"torchvision.{resize}", "--audit", two)
    assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
    (why,) = [json.loads(line) for line in two.read_text().splitlines()]
    assert (why["kind"], why["name"], why["failure"]) == ("refusal", "PIL", "missing package")
    assert (why["module"], why["line"] > 1) == ("torchvision.transforms.v2._transform", True)
    targets = (f"torchvision:torchvision.{name}\n" for name in (detector, resize))
    (tmp_path / "targets.txt").write_text("".join(targets))
    table = rag("bench", "--targets", tmp_path / "targets.txt", "--audit", both)
    assert table.returncode == 0 and "1/2 = 50% [9–91]" in table.stdout
    assert "sometimes: index the package" in table.stdout
    rows = [json.loads(line) for line in both.read_text().splitlines()]
    assert rows == [*taken, why | {"block": f"torchvision:torchvision.{resize}"}]


def test_user_errors_are_one_line(indexed: Path, call_nngpt: Nngpt, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    there = ("--folder", indexed / "runs")
    fcos = "torchvision.models.detection.fcos.FCOS"
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
        (("bench", "--audit", tmp_path / "empty"), "Choose another file with --audit"),
        (("extract", fcos, "--audit", tmp_path / "empty"), "empty: cannot be written"),
    ):
        told = call_nngpt("rag", *words, *there)
        assert told.returncode == 2 and len(told.stderr.splitlines()) == 1, (words, told.stderr)
        assert line in told.stderr
    none = call_nngpt("rag", "search", "attention")
    assert none.returncode == 2 and "Index some: nngpt rag index" in none.stderr
    nothing = call_nngpt("rag", "search", "quantum chromodynamics", *there)
    assert (nothing.returncode, nothing.stdout) == (1, "")
