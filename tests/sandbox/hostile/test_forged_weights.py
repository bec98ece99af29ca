"""Candidates that send false weights when they are exported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_samples import NAME, SEED, hostile, left_over, scores, written
from sandbox_samples import HONEST, candidate
from test_forged_frames import SAYS

from nngpt.data.splits import Splits
from nngpt.records import Exported, Package, Refusal, Stage
from nngpt.sandbox import packager
from nngpt.sandbox.executors.local import LocalExecutor

Attack = Callable[..., Exported | Package | Refusal]


@pytest.fixture
def attack(
    start: Callable[..., LocalExecutor],
    splits: Splits,
    honest_scores: list[tuple[float, int]],
    tmp_path: Path,
) -> Attack:
    """Export a hostile network, which must leave no process and no file and change no score.

    With `package`, its weights are then measured, and an ONNX file is made.
    """

    def attack(code: str, package: bool = False) -> Exported | Package | Refusal:
        executor = start()
        result: Exported | Package | Refusal = executor.export(candidate(code), SEED)
        if package and isinstance(result, Exported):
            result = executor.package(candidate(code), SEED, result.weights, onnx=True)
        assert left_over(executor) == []
        left = written(tmp_path, Path.cwd(), splits.train.labels.parent)
        assert [path for path in left if not path.name.startswith(f".{NAME}")] == []
        assert scores(executor.evaluate(candidate(), SEED))[:1] == honest_scores
        return result

    return attack


def state(body: str) -> str:
    """Return the honest network with its own `state_dict`."""
    return f"{HONEST}\n    def state_dict(self, *args, **kwargs):\n        {body}\n"


UNFIT = "the weights cannot be exported: "


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return 'garbage'", "state_dict gives no tensors"),
        ("return {}", "state_dict gives no tensors"),
        ("return {'a': b'pickle'}", "state_dict holds a bytes, not only tensors"),
        ("raise ValueError('no')", "sending the weights failed: ValueError: no"),
        ("return {'../../etc/passwd': torch.ones(1)}", UNFIT + "'../../etc/passwd' is no name"),
        ("return {'__metadata__': torch.ones(1)}", UNFIT + "a tensor has a reserved name"),
        ("return {'conv 1x1': torch.ones(1)}", UNFIT + "'conv 1x1' is no name of a tensor"),
        ("return {'a': torch.ones(1).expand(1 << 28)}", UNFIT + "the weights are too large"),
        ("return {f'a{n}': torch.ones(()) for n in range(10_001)}", UNFIT + "no number of tensors"),
        ("return {'a': torch.ones(1, dtype=torch.complex64)}", UNFIT + "tensor 'a' has a type"),
    ],
)
def test_a_false_state_is_refused(attack: Attack, body: str, reason: str) -> None:
    result = attack(state(body))
    assert isinstance(result, Refusal), result
    assert result.stage == Stage.JUDGE and result.reason.startswith(reason)


def test_weights_that_do_not_fit_their_code_are_refused(attack: Attack) -> None:
    result = attack(state("return {'other': torch.ones(1 << 20)}"), package=True)
    assert isinstance(result, Refusal), result
    assert result.reason.startswith("the weights do not fit a fresh network")


WEIGHTS = "fact(tensors=2)\n"
TENSOR = 'fact(tensor="a", dtype="float32", shape=[2])\n'


@pytest.mark.parametrize(
    "frames",
    [
        'say(b"T", b"1234")',
        WEIGHTS + 'say(b"T", b"1234")',
        WEIGHTS + TENSOR + TENSOR,
        WEIGHTS + TENSOR + 'say(b"T", b"1234")',
        WEIGHTS + TENSOR + 'say(b"T", b"", 2**32 - 1)',
        WEIGHTS + TENSOR + 'say(b"T", bytes(8))\n' + TENSOR,
        WEIGHTS + 'fact(tensor="a", dtype="bool", shape=[4])\nsay(b"T", b"\\1\\0\\2\\0")',
        WEIGHTS + 'fact(tensor="a", dtype="object", shape=[4])',
        WEIGHTS + 'fact(tensor="a", dtype=["float32"], shape=[4])',
        WEIGHTS + 'fact(tensor="a", dtype="float32", shape=[-1])',
        WEIGHTS + 'fact(tensor="a", dtype="float32", shape=[True])',
        WEIGHTS + 'fact(tensor="a", dtype="float32", shape="12")',
        WEIGHTS + 'fact(tensor="a", dtype="float32", shape=[2**39, 2**39, 0])',
        WEIGHTS + 'fact(phase="onnx")',
        WEIGHTS + WEIGHTS,
        WEIGHTS + 'say(b"O", b"onnx")',
        "fact(tensors=-1)",
        'fact(phase="weights")',
        'fact(onnx_problem="none")',
    ],
)
def test_forged_frames_of_weights_are_refused(attack: Attack, frames: str) -> None:
    lines = "\n        ".join((SAYS + "print('noise')\n" + frames).strip().splitlines())
    result = attack(state(lines))
    assert isinstance(result, Refusal), result
    assert (result.stage, result.reason) == (Stage.JUDGE, "broke the result protocol")


def test_weights_before_training_are_refused(attack: Attack) -> None:
    for place in ("__init__", "learn"):
        for said in (WEIGHTS, 'fact(phase="weights")'):
            result = attack(hostile(place, SAYS + said))
            assert isinstance(result, Refusal) and result.reason == "broke the result protocol"


@pytest.mark.parametrize("shape", ["[1, 1, 12]", "[1, 1, 0, 12]", "[True] * 4", "7", "None"])
def test_no_shape_of_images_is_refused(attack: Attack, shape: str) -> None:
    result = attack(costs(f"in_shape={shape}, parameters=1"), package=True)
    assert isinstance(result, Refusal) and result.reason == "broke the result protocol"


def costs(claims: str) -> str:
    """Return the honest network with claims of its own on shape and cost."""
    false = f"usual(self, name, **(dict({claims}) if name == 'cost' else facts))"
    body = "import nngpt.sandbox.candidate_run as run; usual = run.CandidateRun._phase; "
    return hostile("import", f"{body}run.CandidateRun._phase = lambda self, name, **facts: {false}")


@pytest.mark.parametrize(
    "claims",
    [
        "in_shape=[1, 1, 12, 12], parameters=-1",
        "in_shape=[1, 1, 12, 12]",
        "in_shape=[1, 1, 12, 12], parameters=1, latency_ms='0'",
        "in_shape=[1, 1, 12, 12], parameters=1, batch_ms=-1.0",
        "in_shape=[1, 1, 12, 12], parameters=1, flops=1.5",
    ],
)
def test_false_costs_are_refused(attack: Attack, claims: str) -> None:
    result = attack(costs(claims), package=True)
    assert isinstance(result, Refusal) and result.reason == "broke the result protocol"


def test_a_false_onnx_file_is_left_out(attack: Attack) -> None:
    """It replaces the exporter: garbage instead of a file, then a file of some other network."""
    body = "import nngpt.sandbox.onnx_worker as s; s._traced = lambda net, images: b'garbage' * 99"
    result = attack(hostile("import", body), package=True)
    assert isinstance(result, Package), result
    assert result.onnx is None and "the file does not work" in result.onnx_problem

    said = "(fact(phase='onnx'), say(b'O', b'', 2**32 - 1))"
    body = f"{SAYS}import nngpt.sandbox.onnx_worker as s; s.send_onnx = lambda *all: {said}"
    result = attack(hostile("import", body), package=True)
    assert isinstance(result, Refusal) and result.reason == "broke the result protocol"


def test_an_onnx_file_of_another_network_is_left_out(attack: Attack) -> None:
    other = "usual(nn.Sequential(net, nn.Softsign()), images)"
    body = "import nngpt.sandbox.onnx_worker as s; usual = s._traced; "
    result = attack(hostile("import", f"{body}s._traced = lambda net, images: {other}"), True)
    assert isinstance(result, Package), result
    assert result.onnx is None and "its logits differ from the network's" in result.onnx_problem
    assert result.logits.shape == (10, 4)


def test_an_export_that_never_ends_costs_only_the_onnx_file(
    start: Callable[..., LocalExecutor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packager, "_MORE_S", 0.0)
    body = (
        "import nngpt.sandbox.onnx_worker as s; s._traced = lambda net, images: any(iter(int, 1))"
    )
    executor, hanging = start(limit_s=6), candidate(hostile("import", body))
    exported = executor.export(hanging, SEED)
    assert isinstance(exported, Exported), exported
    result = executor.package(hanging, SEED, exported.weights, onnx=True)
    assert isinstance(result, Package), result
    assert result.onnx is None
    assert result.onnx_problem == "making it used more than its 6 CPU seconds"
    assert result.validation[1] == 97 and len(result.logits) == 10


def test_worth_is_what_the_files_give(start: Callable[..., LocalExecutor], attack: Attack) -> None:
    """It trains well and sends zeros: the card's accuracy is that of the zeros."""
    zeros = "return {k: torch.zeros_like(v) for k, v in super().state_dict().items()}"
    result = attack(state(zeros), package=True)
    assert isinstance(result, Package), result
    assert result.validation[0] < 60
    honest = start().export(candidate(), SEED)
    assert isinstance(honest, Exported) and honest.evaluation.accuracy > 0.9
    package = start().package(candidate(), SEED, honest.weights, onnx=False)
    assert isinstance(package, Package), package
    assert package.validation == (honest.evaluation.epochs[-1].correct, 97)
