"""Several GPUs: which the LLM takes, how lanes are pinned to the others; with a pretended list."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from sandbox_samples import HONEST, candidate, make_task

from nngpt import gpus
from nngpt.config import EvaluationConfig
from nngpt.data.splits import Splits
from nngpt.generation.models.loading import choose_device
from nngpt.gpus import Gpu
from nngpt.records import MAX_EFFORT, MOST_PER_GPU, Evaluation, Refusal, extra_epochs
from nngpt.sandbox import preconditions, reference
from nngpt.sandbox.executors import local
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.sandbox.jobs import JobFactory
from nngpt.sandbox.zygote_client import ZygoteClient, _environment, shared

GIB = 1 << 30
WHERE = "import os\nraise RuntimeError(os.environ['CUDA_VISIBLE_DEVICES'])\n" + HONEST

Pretend = Callable[..., None]


def gpu(number: int, name: str = "NVIDIA H200", free: int = 100) -> Gpu:
    return Gpu(name, f"GPU-{number}", f"/dev/nvidia{number}", free * GIB, 139 * GIB)


@pytest.fixture(scope="module", autouse=True)
def _zygote() -> Iterator[None]:
    """Keep one zygote for all executors of these tests."""
    shared.join()
    yield
    shared.leave()


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Give this machine GPUs, whose workers train on the CPU; and, if given, a number of cores."""

    def pretend(*found: Gpu, cores: int = 2) -> None:
        monkeypatch.setattr(preconditions, "has_cuda_driver", lambda: True)
        monkeypatch.setattr(ZygoteClient, "gpus", lambda _: list(found))
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
        opened = ZygoteClient.open_lane
        monkeypatch.setattr(
            ZygoteClient,
            "open_lane",
            lambda self, limits, threads, device, gpu: opened(self, limits, threads, "cpu", gpu),
        )
        described = JobFactory.training
        on_cpu = {"device": "cpu"}
        monkeypatch.setattr(
            JobFactory, "training", lambda *given, **more: described(*given, **more, **on_cpu)
        )

    return pretend


def test_lanes_are_pinned_and_results_are_equal(splits: Splits, pretend: Pretend) -> None:
    pretend(gpu(0), gpu(1))
    settings = EvaluationConfig(workers=3, limit_s=60)
    with LocalExecutor(splits, settings, make_task()) as executor:
        assert executor.device == "cuda"
        free = executor._pool._free
        for number in sorted(free.get() for _ in range(3)):
            free.put(number)  # the only free lane
            refused = executor.evaluate(candidate(WHERE), 1)
            assert isinstance(refused, Refusal)
            assert refused.reason.endswith(f"RuntimeError: GPU-{number % 2}")
            outcome = executor.evaluate(candidate(), 1)
            assert isinstance(outcome, Evaluation), outcome
            assert outcome.accuracy == _accuracy_on_cpu(splits)
            assert free.get() == number


@cache
def _accuracy_on_cpu(splits: Splits) -> float:
    with LocalExecutor(splits, EvaluationConfig(device="cpu", workers=1), make_task()) as executor:
        outcome = executor.evaluate(candidate(), 1)
        assert isinstance(outcome, Evaluation), outcome
        return outcome.accuracy


def test_each_gpu_has_a_job_before_one_has_two(splits: Splits, pretend: Pretend) -> None:
    pretend(gpu(0), gpu(1))
    with LocalExecutor(splits, EvaluationConfig(workers=4), make_task()) as executor:
        free = executor._pool._free
        taken = [free.get() for _ in range(4)]
        assert taken == [0, 1, 2, 3]
        for number in reversed(taken):
            free.put(number)
        assert free.get() == 0


@pytest.mark.parametrize(
    ("machine", "settings", "workers"),
    [
        ([gpu(0)], {}, MOST_PER_GPU),
        ([gpu(0), gpu(1)], {}, 2 * MOST_PER_GPU),
        ([gpu(0), gpu(1), gpu(2, "NVIDIA T4")], {}, 2 * MOST_PER_GPU),
        ([gpu(0, free=22)], {}, 2),
        ([gpu(0, free=22), gpu(1)], {}, 4),
        ([gpu(0, free=2)], {}, 1),
        ([gpu(0), gpu(1)], {"threads": 4}, 2 * 2),
        ([gpu(0), gpu(1)], {"retrain": False}, 2),
        ([gpu(0), gpu(1)], {"workers": 5}, 5),
        ([gpu(0)], {"device": "cpu"}, 16),
        ([], {"threads": 2}, 8),
    ],
)
def test_workers_fit_the_gpus(
    splits: Splits,
    pretend: Pretend,
    monkeypatch: pytest.MonkeyPatch,
    machine: list[Gpu],
    settings: dict[str, object],
    workers: int,
) -> None:
    pretend(*machine, cores=16)
    monkeypatch.setattr(local, "LanePool", lambda *_: SimpleNamespace(missing=(), close=int))
    evaluation = EvaluationConfig.model_validate(settings)
    with LocalExecutor(splits, evaluation, make_task()) as executor:
        assert executor.workers == workers


def test_a_gpu_may_have_little_time_and_many_neighbours(
    splits: Splits, pretend: Pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Own seconds are shared out; the reference network was alone when it was measured."""
    pretend(gpu(0))
    monkeypatch.setattr(LocalExecutor, "_plain_s", lambda *_: 0.5)
    with LocalExecutor(splits, EvaluationConfig(workers=3), make_task()) as executor:
        assert executor.calibrate() == reference.START_S + reference.TIMES["cuda"] * 1.5
    assert extra_epochs(1.1 * MAX_EFFORT) is not None
    assert extra_epochs(1.1 * MAX_EFFORT, sharing=2) is None


def test_a_worker_opens_only_its_own_device_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null")
    for name in names:
        (tmp_path / name).touch()
    for number in range(2):
        facts = tmp_path / "gpus" / f"0000:0{number}:00.0" / "information"
        facts.parent.mkdir(parents=True)
        facts.write_text(
            f"Model: \t\t NVIDIA H200\nGPU UUID: \t GPU-{number}\nDevice Minor: \t {number}\n"
        )
    monkeypatch.setattr(gpus, "_DEV", tmp_path)
    monkeypatch.setattr(gpus, "_DRIVER", tmp_path / "gpus")
    own = Gpu("NVIDIA H200", "GPU-1", str(tmp_path / "nvidia1"), GIB, GIB)
    shown = [Path(path).name for path in gpus.device_files(own)]
    assert shown == ["nvidia-uvm", "nvidia1", "nvidiactl"]
    assert len(gpus.device_files(None)) == len(names) - 1
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (GIB, 2 * GIB))
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda n: SimpleNamespace(name="NVIDIA H200", uuid=n)
    )
    nodes = [str(tmp_path / f"nvidia{number}") for number in range(2)]
    assert gpus.found() == [Gpu("NVIDIA H200", f"GPU-{n}", nodes[n], GIB, 2 * GIB) for n in (0, 1)]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert gpus.found()[0].node == nodes[0], "the machine has another, which is hidden"
    (tmp_path / "gpus/0000:01:00.0/information").unlink()
    assert gpus.found()[0].uuid == "", "the only one needs no name"


@pytest.mark.parametrize(
    ("count", "visible", "own", "left"),
    [
        (1, None, None, None),
        (1, "2", "2", "2"),
        (2, None, "1", "0"),
        (8, None, "7", "0,1,2,3,4,5,6"),
        (3, "GPU-c,GPU-a,GPU-b", "GPU-b", "GPU-c,GPU-a"),
    ],
)
def test_the_llm_takes_the_last_gpu(
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    visible: str | None,
    own: str | None,
    left: str | None,
) -> None:
    monkeypatch.setattr(gpus, "_left", None)
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    if visible:
        monkeypatch.setenv(gpus.VISIBLE, visible)
    else:
        monkeypatch.setenv(gpus.VISIBLE, "")  # so that it is restored
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("cpu") == "cpu"
    assert os.environ[gpus.VISIBLE] == (visible or "")
    assert choose_device("auto") == "cuda"
    assert os.environ[gpus.VISIBLE] == (own or "")
    assert _environment().get(gpus.VISIBLE) == left
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # what CUDA shows from now on
    assert choose_device("cuda") == "cuda"
    assert _environment().get(gpus.VISIBLE) == left
