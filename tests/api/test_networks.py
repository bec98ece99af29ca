"""Networks given to the functions of `import nngpt` in every form, and what cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import ROOT
from quick_runs import quick_run, write_answers
from torch import nn

import nngpt

PLAIN = ROOT / "tests" / "networks" / "plain.py"
FAST = {
    "evaluation.executor": "crash.instant_executor",
    "task.train_limit": 100,
    "task.validation_limit": 100,
}
ANSWERS = [
    "16, 3),\n    nn.ReLU(),\n    nn.MaxPool2d(2),\n    nn.LazyConv2d(32, 3),\n)",
    "24, 5, stride=2),\n    nn.LazyBatchNorm2d(),\n    nn.GELU(),\n    nn.Dropout(0.1),\n)",
]


class Small(nn.Module):
    """An ordinary network."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.head = nn.Linear(in_channels * 28 * 28, num_classes)

    def forward(self, images):
        return self.head(images.flatten(1))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> nngpt.Run:
    """A run that admitted two networks."""
    folder = tmp_path_factory.mktemp("run")
    write_answers(folder, ANSWERS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        quick_run(folder, 1, "llm.batch_size=2", "candidates.per_cycle=2")
    return nngpt.Run.open(folder / "runs")


def test_a_network_may_be_a_file_a_text_a_class_or_one_of_a_run(run: nngpt.Run) -> None:
    best = run.best
    assert best is not None
    notes: list[str] = []
    for network in (PLAIN, str(PLAIN), PLAIN.read_text(), Small, Small(), best):
        trained = nngpt.evaluate(network, settings=FAST, log=notes.append)
        assert trained.accuracy is not None and trained.refused == ""
        assert trained.low is not None and trained.low < trained.accuracy
        assert (len(trained.curve), trained.parameters) == (2, 1000)
    assert any("trained with nngpt's own loop" in note for note in notes)


def test_a_refused_network_has_no_accuracy() -> None:
    trained = nngpt.evaluate("def supported_hyperparameters():\n    return {1}\n", settings=FAST)
    assert trained.accuracy is None and trained.refused.startswith("contract: ")


def test_what_cannot_be_used_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(nngpt.UserError, match=r"none\.py: cannot be read"):
        nngpt.evaluate(tmp_path / "none.py", settings=FAST)
    with pytest.raises(nngpt.UserError, match="Did you mean 'mnist'"):
        nngpt.evaluate(PLAIN, "mnst", settings=FAST)
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "blocks.py").write_text("class Block:\n    pass\n")
    library = str(tmp_path / "library")
    with pytest.raises(nngpt.UserError, match=r"Nearest: blocks\.Block"):
        nngpt.extract("blocks.Blok", library)
    assert "class Block" in nngpt.extract("blocks.Block", library).code
    with pytest.raises(nngpt.UserError, match="cannot be read"):
        nngpt.duplicates(tmp_path / "none")


def test_novelty_knows_files_and_runs(run: nngpt.Run, tmp_path: Path) -> None:
    best = run.best
    assert best is not None
    same = nngpt.novelty(best, run)
    assert (same.jaccard, same.nearest, same.duplicate) == (1, f"attempt {best.attempt}", True)
    best.save(tmp_path / "best.py")
    assert nngpt.novelty(best, tmp_path).nearest == "best.py"
    other = nngpt.novelty(Small, [tmp_path, PLAIN])
    assert other.jaccard < 0.5 and not other.duplicate


def test_duplicates_are_sorted_by_similarity(tmp_path: Path) -> None:
    code = PLAIN.read_text()
    (tmp_path / "a.py").write_text(code)
    (tmp_path / "b.py").write_text(f"# a comment\n{code}")
    (tmp_path / "c.py").write_text(code.replace("Net", "Other").replace("64", "65"))
    found = nngpt.duplicates([tmp_path], threshold=0.3)
    assert [one.network for one in found] == ["b.py", "c.py"]
    assert (found[0].like, found[0].similarity) == ("a.py", 1)
    assert 0.3 < found[1].similarity < 1 and found[1].level == "lexical"


def test_frames_of_a_run(run: nngpt.Run) -> None:
    frame, board = run.attempts(), run.leaderboard()
    assert list(frame["attempt"]) == [1, 2] and list(frame.columns)[:3] == [
        "run",
        "name",
        "attempt",
    ]
    assert board.iloc[0]["attempt"] == (run.best and run.best.attempt)
    assert "<table>" in run._repr_html_() and (run.dataset, run.status) == ("mnist", "done")
    assert nngpt.Run.open(run.folder, run.name) == nngpt.Run.open(run.folder, 1) == run
