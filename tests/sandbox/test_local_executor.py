"""The executor `local` with honest and broken candidates."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sandbox_samples import HONEST, altered, candidate, make_splits, make_task

from nngpt.config import EvaluationConfig
from nngpt.data.splits import Splits
from nngpt.errors import UserError
from nngpt.records import Evaluation, Refusal, Stage
from nngpt.sandbox import processes
from nngpt.sandbox.executors.local import LocalExecutor, create

Start = Callable[..., LocalExecutor]


@pytest.mark.parametrize("settings", [{}, {"epochs": 2}])
def test_an_honest_network_learns(start: Start, settings: dict[str, int]) -> None:
    result = start(**settings).evaluate(candidate(), seed=5)
    assert isinstance(result, Evaluation)
    assert [e.epoch for e in result.epochs] == [1, 2][: settings.get("epochs", 1)]
    assert result.accuracy > 0.9
    assert result.epochs[-1].total == 97
    assert result.claimed_parameters == 8 * 9 + 8 + 16 + 8 * 36 * 4 + 4
    assert result.device == "cpu"
    assert result.seed == 5
    assert result.sandbox.partition(":")[0] in ("full", "standard")
    assert "rlimits" in result.sandbox
    assert result.peak_memory_mb is not None
    assert sum(e.seconds for e in result.epochs) <= result.seconds


def test_an_executor_is_a_context_manager_and_leaves_no_process(splits: Splits) -> None:
    with create(splits, EvaluationConfig(device="cpu"), make_task()) as executor:
        assert isinstance(executor.evaluate(candidate(), 1), Evaluation)
        lanes = [lane.pid for lane in executor._pool.lanes]
        below = [*lanes, *(pid for lane in lanes for pid in processes.descendants(lane))]
    assert lanes
    while any(processes.status_kib(pid, "VmRSS") for pid in below):
        time.sleep(0.01)  # the last process ends after its socket is closed


def test_the_last_executor_ends_the_zygote(tmp_path: Path) -> None:
    program = f"""
import os, sys
from pathlib import Path
sys.path[:0] = {[str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]!r}
from sandbox_samples import candidate, make_splits, make_task
from nngpt.config import EvaluationConfig
from nngpt.sandbox import processes
from nngpt.sandbox.executors.local import create
splits = make_splits(Path({str(tmp_path)!r}))
one, other = (create(splits, EvaluationConfig(device="cpu"), make_task()) for _ in range(2))
assert len(processes.children(os.getpid())) == 1
one.close()
other.evaluate(candidate(), 1)
assert processes.children(os.getpid())
other.close()
assert not processes.children(os.getpid())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_missing_cuda_is_a_user_error(splits: Splits) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has CUDA")
    with pytest.raises(UserError, match=r"evaluation\.device: device 'cuda' is not available"):
        create(splits, EvaluationConfig(device="cuda"), make_task())


@pytest.mark.parametrize("transform", ["echo", "norm-crop-flip", "norm_16_flip", "norm-24"])
def test_named_transforms(start: Start, transform: str) -> None:
    result = start().evaluate(candidate(transform=transform), 1)
    assert isinstance(result, Evaluation), result


def test_transform_source_of_lemur(start: Start) -> None:
    source = """
def transform(norm):
    return transforms.Compose([
        transforms.Resize((16, 16)), transforms.RandomHorizontalFlip(0.0),
        transforms.ToTensor(), transforms.Normalize(*norm)])
"""
    result = start().evaluate(candidate(transform=source), 1)
    assert isinstance(result, Evaluation), result
    assert result.accuracy > 0.9
    assert result.claimed_parameters == 8 * 9 + 8 + 16 + 8 * 64 * 4 + 4


def test_a_single_last_image_is_handled(tmp_path: Path) -> None:
    """BatchNorm1d cannot train on one image, and some networks squeeze the answer of one image."""
    code = altered(
        "return self.classifier(torch.flatten(self.features(x), 1))",
        "return self.norm(self.classifier(torch.flatten(self.features(x), 1)))",
    ).replace("        size =", "        self.norm = nn.BatchNorm1d(out_shape[0])\n        size =")
    splits = make_splits(tmp_path, train=33, validation=65)
    with create(splits, EvaluationConfig(device="cpu"), make_task()) as executor:
        result = executor.evaluate(candidate(code, batch=16), 1)
    assert isinstance(result, Evaluation), result
    assert result.epochs[0].total == 65


@pytest.mark.parametrize(
    ("code", "stage", "reason", "detail"),
    [
        ("def x(:", Stage.BUILD, "building the network failed: SyntaxError", "invalid syntax"),
        ("import nowhere_to_be_found", Stage.BUILD, "ModuleNotFoundError", "line 1, in <module>"),
        (HONEST.replace("class Net", "class N"), Stage.BUILD, "defines no class Net", ""),
        (altered('{"lr", "momentum"}', '{"lr", "x"}'), Stage.BUILD, "hyperparameter 'x'", ""),
        (
            altered("out_shape[0])", "out_shape[0] + 1)"),
            Stage.FORWARD,
            "the output has shape [2, 5], expected [2, 4]",
            "",
        ),
        (
            altered("size = 8 *", "size = 9 *"),
            Stage.FORWARD,
            "the forward pass failed: RuntimeError",
            "RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x288 and 324x4)",
        ),
        (altered("(x), 1))", "(x), 1)) / 0"), Stage.FORWARD, "not finite", ""),
        (altered('prm["lr"]', 'prm["no"]'), Stage.TRAIN, "train_setup failed: KeyError", "'no'"),
        (altered("nn.CrossEntropyLoss()", "None"), Stage.TRAIN, "training failed: TypeError", ""),
        (
            altered("self.optimizer.step()", "self.classifier.bias.data[0] = float('nan')"),
            Stage.TRAIN,
            "training diverged after",
            "",
        ),
        (
            altered("1))", "1))[: 2 + int(self.training) * 99]"),
            Stage.JUDGE,
            "the output has shape [2, 4], expected [64, 4]",
            "",
        ),
        (altered("def learn", "def lear"), Stage.TRAIN, "training failed: AttributeError", ""),
        ("raise SystemExit(3)", Stage.BUILD, "building the network failed: SystemExit", "3"),
        ("import os; os._exit(7)", Stage.BUILD, "ended without a result (exit code 7)", ""),
    ],
)
def test_broken_networks_are_refused_with_stage_and_reason(
    start: Start, code: str, stage: Stage, reason: str, detail: str
) -> None:
    refusal = start().evaluate(candidate(code), 1)
    assert isinstance(refusal, Refusal), refusal
    assert refusal.stage == stage
    assert reason in refusal.reason
    assert detail in refusal.detail


def test_a_broken_transform_is_refused_when_building(start: Start) -> None:
    for source in ("transform = v2.NoSuch()", "x = 1", "transform = v2.Lambda(lambda x: x[0])"):
        refusal = start().evaluate(candidate(transform=source), 1)
        assert isinstance(refusal, Refusal)
        assert refusal.stage == Stage.BUILD


def test_too_many_parameters_are_refused_before_training(start: Start) -> None:
    refusal = start(max_parameters=1000).evaluate(candidate(), 1)
    assert refusal == Refusal(Stage.BUILD, "has 1,252 parameters, the budget is 1,000")


def test_every_epoch_gives_the_training_data_once(start: Start) -> None:
    code = altered(
        "        for inputs, labels in train_data:",
        "        assert len(train_data) == len(list(train_data)) == 20\n"
        "        assert list(train_data) == []\n"
        "        for inputs, labels in train_data:",
    )
    assert isinstance(start().evaluate(candidate(code), 1), Evaluation)


def test_other_systems_are_refused(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(UserError, match="candidates cannot be contained on darwin"):
        create(splits, EvaluationConfig(device="cpu"), make_task())
