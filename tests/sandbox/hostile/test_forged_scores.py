"""Networks that ignore the images try to forge a score."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
from hostile_samples import BLIND, SEED, everywhere, gains_nothing, hostile
from sandbox_samples import HONEST, altered

from nngpt.data.splits import Splits
from nngpt.records import Candidate, Evaluation, Refusal
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.sandbox.judge import secret_order

Attack = Callable[..., Evaluation | Refusal]
Attacks = Callable[..., dict[str, Evaluation | Refusal]]

FORGERIES = {
    "prints a score": """
print('{"accuracy": 1.0}', flush=True)
import sys; sys.stderr.write('{"accuracy": 1.0}')
""",
    "writes results": """
for name in ("result.json", "results.json", "accuracy", "score.txt", "output"):
    open(name, "w").write('{"accuracy": 1.0}')
""",
    "writes to every descriptor": r"""
import os
for fd in range(256):
    try: os.write(fd, b'{"accuracy": 1.0, "correct": 97}\n')
    except OSError: pass
""",
    "pickles over every descriptor": """
import os, pickle
class Runs:
    def __reduce__(self): return (os.abort, ())
for fd in range(3, 256):
    try: os.write(fd, pickle.dumps(Runs()))
    except OSError: pass
""",
    "patches the metric": """
import numpy
torch.argmax = torch.Tensor.argmax = lambda *a, **k: torch.zeros(1)
torch.eq = torch.Tensor.__eq__ = lambda *a, **k: torch.ones(97, dtype=torch.bool)
numpy.argmax = numpy.equal = numpy.sum = lambda *a, **k: numpy.ones(97)
numpy.isfinite = lambda *a, **k: numpy.ones(1, bool)
""",
    "patches the clock": """
import time
time.time = time.monotonic = time.perf_counter = lambda: 0.0
""",
    "poisons the interpreter": """
import builtins, sys, types
for name in list(sys.modules):
    if name.startswith("nngpt.sandbox.judge") or name.startswith("nngpt.records"):
        sys.modules[name] = types.ModuleType(name)
builtins.sum = lambda *a, **k: 97
builtins.round = builtins.max = lambda *a, **k: 97
open("sitecustomize.py", "w").write("raise SystemExit")
""",
    "patches the wire": """
import json, sys
wire = sys.modules["nngpt.sandbox.wire"]
real = wire.write_frame
def forged(fd, kind, payload):
    if kind == b"J":
        payload = json.dumps({**json.loads(payload), "accuracy": 1.0, "correct": 97}).encode()
    real(fd, kind, payload)
wire.write_frame = forged
""",
    "patches the worker": """
import sys
run = sys.modules["nngpt.sandbox.candidate_run"].CandidateRun
run._check = lambda *a: None
run._answers = lambda self, net: bytes(4 * 4 * 97)
sys.modules["nngpt.sandbox.network_cost"].parameters = lambda net: 0
""",
    "looks for the labels in frames and objects": """
import gc, sys
import numpy
frame, found = sys._getframe(), []
while frame:
    found += [*frame.f_locals.values(), *frame.f_globals.values()]
    frame = frame.f_back
for thing in [*found, *gc.get_objects()]:
    if type(thing) in (numpy.ndarray, torch.Tensor) and tuple(thing.shape) == (97,):
        learned = torch.nn.functional.one_hot(torch.as_tensor(thing).long() % 4, 4).float()
        Net.forward = lambda self, x: learned[: len(x)]
""",
    "changes its own data": """
import sys
run = sys.modules["nngpt.sandbox.candidate_run"].CandidateRun
real = run._load_data
def spoiled(self):
    real(self)
    self.unseen.zero_(); self.images.zero_(); self.labels.zero_()
run._load_data = spoiled
""",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_gains_nothing(attacks: Attacks, name: str) -> None:
    for place, result in attacks(everywhere(FORGERIES[name], BLIND)).items():
        assert gains_nothing(result), place


def test_an_honest_network_gains(attack: Attack) -> None:
    """Otherwise the tests above could not detect a forgery that works."""
    assert not gains_nothing(attack(HONEST))


SPOILS = """
train_data.images.zero_(); train_data.labels.zero_()
import os
for fd in range(3, 256):
    try: os.pwrite(fd, b"spoiled" * 1000, 0)
    except OSError: pass
    try: os.ftruncate(fd, 0)
    except OSError: pass
"""


def test_changed_data_is_restored_for_the_next_candidate(attack: Attack) -> None:
    assert gains_nothing(attack(hostile("learn", SPOILS, BLIND)))


def output(text: str) -> str:
    """Return a network that answers with an expression of the honest `logits`."""
    old = "return self.classifier(torch.flatten(self.features(x), 1))"
    new = f"logits = {old.removeprefix('return ')}\n        return {text}"
    return altered(old, new)


LIES = """
class Lies(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return [2, 4] if "shape" in str(function) else torch.ones(97, 4)
    def numpy(self): return b""
    def cpu(self): return self
    def float(self): return self
    def tobytes(self): return b"\\1" * (97 * 16)
"""
FAKE = """
class Fake:
    __class__ = torch.Tensor
    def __init__(self, x): self.shape = torch.Size((len(x), 4))
    def float(self): return self
    def cpu(self): return torch.ones(self.shape)
"""


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (LIES, "(logits * 0).as_subclass(Lies)"),
        (FAKE, "Fake(x)"),
        ("", "torch.eye(4)[torch.arange(len(x)) % 4]"),
        ("", "torch.eye(4)[torch.arange(len(x)) * 4 // len(x)]"),
        ("", "logits * 0 + 1"),
    ],
    ids=["tensor subclass", "fake class", "by position", "as if sorted", "all the same"],
)
def test_an_answer_independent_of_the_images_gains_nothing(
    attack: Attack, head: str, answer: str
) -> None:
    code = output(answer).replace("class Net", f"{head}\n\nclass Net")
    assert gains_nothing(attack(code))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("logits / 0", "the output for random images is not finite"),
        ("logits * float('nan')", "the output for random images is not finite"),
        ("logits if len(x) < 3 or self.training else logits / 0", "the logits are not finite"),
        ("logits[:, :3]", "the output has shape [2, 3]"),
        ("logits.repeat(1, 1 << 20)", "the output has shape [2, 4194304]"),
        ("logits[0]", "the output has shape [4]"),
        ("logits.repeat(2, 1)", "the output has shape [4, 4]"),
        ("logits[:1]", "the output has shape [1, 4]"),
        ("logits.numpy()", "forward returns a ndarray"),
        ("[logits]", "forward returns a list"),
        ("None", "forward returns a NoneType"),
    ],
)
def test_an_invalid_answer_is_refused_with_its_reason(
    attack: Attack, answer: str, reason: str
) -> None:
    result = attack(output(answer))
    assert isinstance(result, Refusal), result
    assert reason in result.reason


@pytest.mark.parametrize("dtype", ["complex64", "int64", "bool", "float64", "float8_e4m3fn"])
def test_logits_of_other_types_gain_nothing(attack: Attack, dtype: str) -> None:
    code = BLIND.replace("repeat(len(x), 1)", f"repeat(len(x), 1).detach().to(torch.{dtype})")
    assert gains_nothing(attack(code))


def test_other_images_of_the_batch_reveal_nothing(attack: Attack) -> None:
    """If the images were sorted by class, the rest of the batch would reveal an image's class."""
    others = "sum(logits.roll(by, 0) for by in (-3, -2, -1, 1, 2, 3))"
    assert gains_nothing(attack(output(f"logits if self.training else {others}")))


SEARCH = """
import gc, hashlib, sys
import numpy
def as_bytes(thing):
    if type(thing) in (bytes, bytearray): return bytes(thing)
    if type(thing) in (list, tuple): thing = numpy.array(thing)
    if type(thing) is torch.Tensor: thing = thing.detach().numpy()
    return thing.astype("<i8").tobytes()
frame, things = sys._getframe(), gc.get_objects()
while frame:
    things += [*frame.f_locals.values(), *frame.f_globals.values()]
    frame = frame.f_back
for thing in things:
    if type(thing) in (numpy.ndarray, torch.Tensor, bytes, bytearray, list, tuple):
        try:
            if len(thing) not in (COUNT, 8 * COUNT): continue
            digest = hashlib.sha256(as_bytes(thing)).hexdigest()
        except (TypeError, ValueError, RuntimeError): continue
        if digest in WANTED: raise RuntimeError("found labels")
"""


@pytest.mark.parametrize(("which", "found"), [("validation", False), ("train", True)])
def test_no_object_of_a_worker_holds_validation_labels(
    start: Callable[..., LocalExecutor], splits: Splits, which: str, found: bool
) -> None:
    """The search finds the training labels, so it would find the validation labels too."""
    labels = np.asarray(getattr(splits, which).open_labels(), np.int64)
    true = np.asarray(splits.validation.open_labels(), np.int64)
    orders = [np.arange(len(labels))]
    orders += [secret_order(true, "hash", SEED)] if which == "validation" else []
    wanted = {hashlib.sha256(labels[order].tobytes()).hexdigest() for order in orders}
    text = SEARCH.replace("COUNT", str(len(labels))).replace("WANTED", repr(wanted))
    code = hostile("learn", text)
    tried = Candidate(code, "hash", "full", {"lr": 0.05, "momentum": 0.9}, "norm", 16)
    result = start().evaluate(tried, SEED)
    assert isinstance(result, Refusal) == found, result
    assert not found or "found labels" in result.reason


TRANSFORM = """
import os
for fd in range(3, 256):
    try: os.write(fd, b"forged")
    except OSError: pass
transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
"""


def test_a_hostile_transform_is_refused(attack: Attack) -> None:
    result = attack(BLIND, transform=TRANSFORM)
    assert isinstance(result, Refusal)
    assert result.reason == "broke the result protocol"
