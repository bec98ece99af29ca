"""Checks of hardware, packages, sandbox, models and data of this machine, with hints."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

from nngpt import config, plugins
from nngpt.cycle.meter import Energy
from nngpt.cycle.parts import open_evaluator
from nngpt.data.loading import data_source
from nngpt.errors import NngptError
from nngpt.files import DATABASE
from nngpt.generation.models import embedded
from nngpt.prediction.hpo.surrogate import SurrogateFile
from nngpt.prediction.hpo.surrogate import default_path as surrogate_path
from nngpt.prediction.model_file import file_to_use
from nngpt.prediction.predictor import Predictor
from nngpt.prediction.predictor import default_path as predictor_path
from nngpt.protocols import LimitsTime
from nngpt.sandbox.containment import layers, level
from nngpt.store.database import open_database
from nngpt.store.lemur.importer import imported
from nngpt.store.lemur.mirror import mirror_folder

_TASK = "demo-mnist"
_ONNX = ("onnx", "onnxscript", "onnxruntime")
_TRACKERS = ("tensorboard", "mlflow", "wandb")
_PACKAGES = ("torch", "torchvision", "transformers", "peft", "datasketch", "sqlalchemy")


@dataclass(frozen=True)
class Finding:
    """Result of one check of the machine; `hint` is how to fix it, "" if all is well."""

    what: str
    found: str
    ok: bool
    hint: str = ""


def check_machine() -> Iterator[Finding]:
    """Yield all findings about this machine, software first."""
    yield from _software()
    yield from _hardware()
    yield from _sandbox()
    yield _limit()
    yield from _models()
    yield from _lemur()
    yield from _data()


def _software() -> Iterator[Finding]:
    yield Finding("Python", sys.version.split()[0], sys.version_info >= (3, 11))
    for package in _PACKAGES:
        yield Finding(package, metadata.version(package), True)
    yield _bitsandbytes()
    yield _onnx()
    for package in _TRACKERS:
        version = _version(package)
        hint = "" if version else f"To log runs there: pip install {package}"
        yield Finding(f"tracker {package}", version or "not installed", True, hint)


def _bitsandbytes() -> Finding:
    """Check bitsandbytes, which only 4-bit and 8-bit models on a GPU need."""
    name = "bitsandbytes"
    if version := _version(name):
        return Finding(name, version, True)
    if torch.cuda.is_available():
        return Finding(name, "not installed", False, f"pip install {name}")
    return Finding(name, "not needed on a CPU", True)


def _onnx() -> Finding:
    """Check the packages that write ONNX files and check them, and whether they are installed."""
    found = {name: _version(name) for name in _ONNX}
    missing = [name for name, version in found.items() if version is None]
    text = ", ".join(f"{name} {version or 'not installed'}" for name, version in found.items())
    hint = f"To export ONNX files: pip install {' '.join(missing)}" if missing else ""
    return Finding("ONNX", text, not missing, hint)


def _version(package: str) -> str | None:
    """Return the version of an installed package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _hardware() -> Iterator[Finding]:
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            gpu = torch.cuda.get_device_properties(index)
            yield Finding("device", f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB", True)
    else:
        hint = "Enough for the embedded model; larger models need a CUDA GPU"
        yield Finding("device", "CPU only", True, hint)
    counted = Energy().facts or "not available: energy use will not be reported"
    yield Finding("energy counters", counted, True)
    yield Finding("cores", str(len(os.sched_getaffinity(0))), True)
    free = free_memory() / 2**30
    hint = "" if free > 4 else "A run with the embedded model needs 4 GiB"
    yield Finding("free memory", f"{free:.1f} GiB", not hint, hint)
    space = shutil.disk_usage(".").free / 2**30
    yield Finding("free disk here", f"{space:.0f} GiB", space > 2)


def free_memory() -> int:
    """Return the memory available to programs in bytes, reclaimable caches included."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _sandbox() -> Iterator[Finding]:
    found = layers()
    reached = level([layer.name for layer in found if not layer.available], "weak").split(":")[0]
    hint = "" if reached != "weak" else "Candidates are refused unless --sandbox weak"
    yield Finding("sandbox level", reached, reached != "weak", hint)
    for layer in found:
        found_layer = "yes" if layer.available else "no"
        needed = "" if layer.required else " (for level full)"
        yield Finding(f"sandbox: {layer.name}{needed}", found_layer, layer.available, layer.hint)


def _limit() -> Finding:
    """Measure the reference network, which sets the limit on a training, on a shipped task."""
    name = "limit of a training"
    settings = config.load(_TASK, ["evaluation.sandbox=weak"])
    try:
        if not data_source(settings).available():
            return _cached(name, False, f"nngpt data pull {settings.task.dataset}")
        with open_evaluator(settings, lambda _: None) as (_, executor):
            assert isinstance(executor, LimitsTime)
            limit = f"{executor.calibrate():g} s of its own in {_TASK}"
            return Finding(name, f"{limit}, {executor.workers} at once", True)
    except NngptError as error:
        return Finding(name, "not measured", False, error.line())


def _models() -> Iterator[Finding]:
    for name, model in embedded.MODELS.items():
        present = embedded.cached_file(model) is not None
        yield _cached(f"model {name}", present, f"nngpt models pull {name}")


def _lemur() -> Iterator[Finding]:
    """Check the models made from LEMUR, which come with nngpt, and its mirror."""
    for name, opened in (("predictor", _predictor), ("surrogate", _surrogate)):
        try:
            yield Finding(name, opened(), True)
        except NngptError as error:
            yield Finding(name, "not usable", False, error.line())
    path = mirror_folder() / DATABASE
    hint = "For queries, corpora and training of one's own predictor: nngpt lemur pull"
    try:
        with closing(open_database(path, create=False)) as database, database.read() as session:
            sources = ", ".join(imported(session))
    except NngptError:
        sources = ""
    found = f"{sources} in {path}" if sources else "not in the cache"
    yield Finding("LEMUR mirror", found, bool(sources), "" if sources else hint)


def _predictor() -> str:
    return Predictor(file_to_use(predictor_path())).origin


def _surrogate() -> str:
    return SurrogateFile(file_to_use(surrogate_path())).origin


def _data() -> Iterator[Finding]:
    for name in plugins.names("data set"):
        if name == plugins.IMAGE_FOLDER:
            continue
        present = plugins.create("data set", name, None).available()
        yield _cached(f"data {name}", present, f"nngpt data pull {name}")


def _cached(what: str, present: bool, command: str) -> Finding:
    """Return the finding for a model or data set that `command` downloads."""
    found = "in the cache" if present else "not in the cache"
    return Finding(what, found, present, "" if present else command)
