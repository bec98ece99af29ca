"""All of nngpt's pipelines in one run, `pipelines-cifar10`, at a small size with the real LLM."""

from __future__ import annotations

from pathlib import Path

from command_line import TWO_LAYERS, Nngpt

from nngpt import config
from nngpt.store import Store

BLOCK = '''
from torch import nn

class Gate(nn.Module):
    """Convolution block for image classification: gates channels."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x * self.weight(x).sigmoid()
'''


def test_blocks_proposals_early_stopping_and_preferences_in_one_run(
    nngpt: Nngpt, tmp_path: Path
) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "LICENSE").write_text("MIT License\n")
    (tmp_path / "tree" / "gates.py").write_text(BLOCK)
    indexed = nngpt("rag", "index", "./tree")
    assert indexed.returncode == 0, indexed.stderr
    settings = {
        "task.dataset": "mnist",
        "task.train_limit": 1000,
        "task.validation_limit": 300,
        "task.threshold": 0,
        "task.max_parameters": 500_000,
        "llm.model": "smollm2-135m",
        "llm.batch_size": 10,
        "prompt.template": TWO_LAYERS,
        "sampling.max_new_tokens": 40,
        "candidates.per_cycle": 10,
        "evaluation.epochs": 2,
        "evaluation.threads": 1,
        "evaluation.retrain": "false",
        "learning.epochs": 1,
        "learning.layers": 2,
        "learning.options.margin": 0.0001,
    }
    given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    done = nngpt("cycle", "run", "pipelines-cifar10", "--cycles", 2, *given)
    assert done.returncode == 0, done.stderr
    told = done.stdout + done.stderr
    assert "Hyperparameters: proposed for each candidate by surrogate" in told
    assert "Stopping early: " in told and "Learning: dpo" in told
    with Store.open(tmp_path / "runs" / "nngpt.db") as store:
        attempts = store.attempts(1, with_code=True)
        blocks = {block.target for a in attempts for block in store.question(a).blocks}
        adapter = store.adapter(1, 1)
    assert len(attempts) == 20
    assert blocks == {"tree:gates.Gate"}
    trained = [a for a in attempts if a.evaluation is not None and a.candidate is not None]
    usual = config.load("pipelines-cifar10").evaluation.hyperparameters
    for one in trained:
        assert one.candidate is not None and one.evaluation is not None
        assert len(one.evaluation.epochs) == 2 and "ceiling" in one.evaluation.protocol
    assert any(
        dict(a.candidate.hyperparameters) != {n: usual[n] for n in a.candidate.hyperparameters}
        for a in trained
        if a.candidate
    )
    assert adapter is not None and adapter.pairs >= 1
    assert {a.completion.adapter for a in attempts if a.cycle == 2} == {adapter.name}
