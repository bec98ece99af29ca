"""The commands `nngpt hpo train`, `predict` and `bench`."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import yaml
from command_line import ROOT, Nngpt

from nngpt.errors import UserError
from nngpt.prediction.groups import FEWEST_GROUPS
from nngpt.prediction.hpo.grid import best_of_grid
from nngpt.prediction.hpo.pools import pools
from nngpt.prediction.hpo.proposal import HPOTask, SearchSpace
from nngpt.prediction.hpo.surrogate import SurrogateFile
from nngpt.prediction.places import Place
from nngpt.prediction.runs import History

PLAIN = ROOT / "tests" / "networks" / "plain.py"
ORDINARY = """
from torch import nn
class Mine(nn.Module):
    def __init__(self, width, num_classes=5, dropout=0.0):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.LazyLinear(width), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(width, num_classes),
        )
    def forward(self, x):
        return self.layers(x)
"""
MNIST = Place("img-classification", "mnist", "acc")


def test_train_a_network_with_a_proposal_of_the_surrogate(
    surrogate_file: Path, nngpt: Nngpt
) -> None:
    file = ("--surrogate", surrogate_file)
    asked = ("hpo", "predict", PLAIN, "--dataset", "mnist", *file, "--max-side", 32)
    told = nngpt(*asked, "--target-accuracy", 1)
    assert (told.returncode, told.stderr) == (0, "")
    assert "90% interval" in told.stdout.splitlines()[0]
    chosen = yaml.safe_load(told.stdout)["evaluation"]
    assert chosen["hyperparameters"].keys() == {"lr", "momentum", "dropout"}
    settings = [f"--set=evaluation.{key}={json.dumps(value)}" for key, value in chosen.items()]
    few = ["--set=task.train_limit=500", "--set=task.validation_limit=200"]
    trained = nngpt("evaluate", PLAIN, *settings, *few)
    assert trained.returncode == 0, trained.stdout
    three = json.loads(nngpt(*asked, "--top", 3, "--epochs", 7, "--json").stdout)
    again = yaml.safe_load_all(nngpt(*asked, "--top", 3, "--epochs", 7).stdout)
    names = [document["evaluation"]["transform"] for document in again]
    assert names == [one["transform"] for one in three]
    assert three[0]["model"] == f"own surrogate {surrogate_file} (part.whl)"
    assert len(three) == 3 and three[0]["epochs"] == 5 and "trained" not in three[0]
    assert (
        "chosen for 5 epochs, the nearest that the surrogate was trained for" in three[0]["notes"]
    )


def test_the_default_engine_needs_no_files(nngpt: Nngpt) -> None:
    asked = ("hpo", "predict", PLAIN, "--dataset", "minst", "--engine", "default")
    told = nngpt(*asked)
    assert told.returncode == 0
    assert told.stderr == (
        "note: unknown data set 'minst'. Did you mean 'mnist'? "
        "Describe it: --root, or --classes and --shape\n"
    )
    assert nngpt(*asked, "--classes", 5, "--shape", "3x32x32").stderr == ""
    chosen = yaml.safe_load(told.stdout)["evaluation"]
    assert chosen["hyperparameters"] == {"dropout": 0.2, "lr": 0.01, "momentum": 0.9}
    assert (chosen["batch"], chosen["transform"], chosen["epochs"]) == (64, "norm", 1)


def test_an_ordinary_network_gets_a_proposal_and_trains_with_it(
    nngpt: Nngpt, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(ORDINARY)
    few = ["--set=task.train_limit=500", "--set=task.validation_limit=200"]
    asked = ("hpo", "predict", "mine.py", "--dataset", "mnist", "--engine", "default")
    told = nngpt(*asked, "--init", "width=8", "--run", "--json", *few)
    assert told.returncode == 0, told.stderr
    (chosen,) = json.loads(told.stdout)
    assert chosen["hyperparameters"] == {"dropout": 0.2, "lr": 0.01, "momentum": 0.9}
    assert chosen["trained"]["epochs"][0]["total"] == 200
    told = nngpt(*asked, "--init", "width=8")
    assert told.stderr == (
        "note: Mine(width=8, num_classes=out_shape[0], dropout=prm['dropout']), trained with "
        "nngpt's own loop\n"
    )


def test_proposals_differ_and_are_within_the_search_space(surrogate_file: Path) -> None:
    file = SurrogateFile(surrogate_file)
    code = PLAIN.read_text()
    names = frozenset({"lr", "momentum", "dropout"})
    task = HPOTask(code, SearchSpace.of(names, 64, 32), MNIST, 5)
    found = best_of_grid(file, task, 4)
    assert len({(c.transform, c.batch, c.hyperparameters["lr"]) for c in found}) == 4
    for choice in found:
        assert choice.batch <= 64 and choice.epochs == 5
        assert 1e-5 <= choice.hyperparameters["lr"] <= 1
        assert choice.accuracy is not None
        value, low, high = choice.accuracy
        assert 0 <= low <= value <= high <= 1
    assert found == best_of_grid(file, task, 4)
    strange = SearchSpace.of(frozenset({"lr", "tau", "batch"}), 2)
    (one,) = best_of_grid(file, HPOTask(code, strange, Place("a", "b", "c"), 1), 1)
    assert one.accuracy is None
    assert one.hyperparameters.keys() == {"lr", "tau"} and one.batch == 2
    assert one.notes == (
        "set to 0, as no range is known: tau",
        "the surrogate was not trained on any trial on a/b/c: "
        "it cannot say which accuracy to expect",
    )


def test_bench_freezes_its_folds_and_the_surrogate_beats_random_picks(
    mirror: Path, trials: History, nngpt: Nngpt, tmp_path: Path
) -> None:
    asked = ("hpo", "bench", "--folder", mirror, "--epochs", 1, "--folds", "folds.json")
    done = nngpt(*asked, "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed.keys() == {"folds", "regrets"}
    assert json.loads((tmp_path / "folds.json").read_text())["sha256"] == printed["folds"]
    found = {(one["engine"], one["evaluations"]): one for one in printed["regrets"]}
    engines = ["random", "default", "constant", "surrogate", "optuna"]
    assert list(found) == [(engine, count) for count in (1, 3, 8) for engine in engines]
    random, best, best_of_8 = (
        found[k] for k in (("random", 1), ("surrogate", 1), ("surrogate", 8))
    )
    assert random["share"] == pytest.approx(1)
    assert best["mean"][0] < random["mean"][0] and best["share"] < 0.8
    assert random["rmse"][0] > best["rmse"][0] > best_of_8["rmse"][0] >= best["least_rmse"]
    assert best["components"] < FEWEST_GROUPS and best["mean"][1:] == [None, None]
    assert best["pools"] == len(pools(trials, 1))
    table = nngpt(*asked, "--fold", 0, "--evaluations", 1)
    assert table.returncode == 0, table.stderr
    assert "mean regret" in table.stdout and "surrogate" in table.stdout
    assert printed["folds"][:12] in table.stdout


def test_mistakes_are_one_line(surrogate_file: Path, call_nngpt: Nngpt, tmp_path: Path) -> None:
    bare, broken = tmp_path / "bare.py", tmp_path / "broken.py"
    bare.write_text("class Net: pass\n")
    broken.write_text("class Net(:\n")
    half, ordinary = tmp_path / "half.py", tmp_path / "ordinary.py"
    half.write_text(
        "class Net(nn.Module):\n"
        "    def forward(self, x): ...\n"
        "    def train_setup(self, prm): ...\n"
    )
    ordinary.write_text(
        "import torch.nn as nn\nclass Net(nn.Module):\n    def __init__(self, width, depth): ...\n"
    )
    mnist = ("--dataset", "mnist")
    for arguments, line in (
        (
            (PLAIN, *mnist, "--surrogate", "none.zip"),
            "none.zip: there is no surrogate. Train one: nngpt hpo train",
        ),
        ((PLAIN,), "give --dataset or --root"),
        ((PLAIN, *mnist, "--shape", "3x32"), "--shape 3x32 is not CHANNELSxHEIGHTxWIDTH"),
        ((bare, *mnist), "bare.py: no class of the file is an nn.Module"),
        ((broken, *mnist), "broken.py: the code is not valid Python; line 1: invalid syntax"),
        (
            (half, *mnist),
            "half.py: 3 faults against the contract (docs/contract.md); there is no function "
            "supported_hyperparameters(); line 1: class Net has no method __init__; line 1: class "
            "Net has no method learn",
        ),
        ((ordinary, *mnist, "--init", "depth=3"), "Net takes as width; Give values: --init"),
        ((ordinary, *mnist, "--class", "Nett"), "no class or function 'Nett'. Did you mean"),
        ((tmp_path / "none.py", *mnist), "none.py: cannot be read"),
        (
            (PLAIN, *mnist, "--engine", "surrogat"),
            "unknown HPO engine 'surrogat'. Did you mean 'surrogate'?",
        ),
    ):
        told = call_nngpt("hpo", "predict", *arguments, NNGPT_CACHE=str(tmp_path / "cache"))
        assert (told.returncode, told.stdout) == (2, "")
        assert len(told.stderr.splitlines()) == 1 and line in told.stderr
    told = call_nngpt("hpo", "train", "--folder", tmp_path)
    assert told.returncode == 2 and "no mirror here. Fetch LEMUR" in told.stderr


def test_damaged_files(surrogate_file: Path, tmp_path: Path) -> None:
    cut, wrong = tmp_path / "cut.zip", tmp_path / "wrong.zip"
    cut.write_bytes(surrogate_file.read_bytes()[:3000])
    with pytest.raises(UserError, match="is not a surrogate, or is damaged"):
        SurrogateFile(cut)
    with zipfile.ZipFile(surrogate_file) as whole, zipfile.ZipFile(wrong, "w") as part:
        for name in whole.namelist():
            part.writestr(name, "tree" if name.endswith(".txt") else whole.read(name))
    with pytest.raises(UserError, match="is not a surrogate, or is damaged"):
        SurrogateFile(wrong).at(1)
