"""Train networks that go over their images again, and honest ones that train in unusual ways.

OMP_NUM_THREADS=1 .venv/bin/python benchmarks/extra_epochs.py [NAME …]

Each network of tests/training_loops.py is evaluated with `retrain` on and off, on images that one
pass does not teach. A line shows its own accuracy, what it is worth, and how much longer it trained
than nngpt's own loop. The exit status is 1 if a cheat is worth more than one honest pass, or an
honest network is refused as training for extra epochs.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from sandbox_samples import make_splits, make_task  # noqa: E402
from training_loops import CHEATS, HONEST, trained_by  # noqa: E402

from nngpt.config import EvaluationConfig  # noqa: E402
from nngpt.records import Candidate, Evaluation, Refusal, extra_epochs  # noqa: E402
from nngpt.sandbox.executors.local import LocalExecutor  # noqa: E402

IMAGES = 300


def main() -> int:
    """Evaluate all networks, print a line for each; return the exit status."""
    names = set(sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        splits = make_splits(Path(folder), train=480, validation=IMAGES, noise=150)
        settings = EvaluationConfig(device="cpu", workers=1, limit_s=120)
        on, off = (
            stack.enter_context(
                LocalExecutor(splits, settings.model_copy(update={"retrain": way}), make_task())
            )
            for way in (True, False)
        )
        plain = off.evaluate(trained_by(""), 1)
        assert isinstance(plain, Evaluation), plain
        most = plain.accuracy + 3 * (0.25 / IMAGES) ** 0.5  # and the chance of another seed
        wrong = 0
        for honest, networks in ((False, CHEATS), (True, HONEST)):
            for name, (methods, top) in networks.items():
                if not names or name in names:
                    right = judged(on, off, name, trained_by(methods, top), honest, most)
                    wrong += not right
    print(f"{wrong} judged wrongly; one honest pass is worth {plain.accuracy:.1%}")
    return 1 if wrong else 0


def judged(
    on: LocalExecutor, off: LocalExecutor, name: str, network: Candidate, honest: bool, most: float
) -> bool:
    """Print a network's line; return whether both ways judge it as they should."""
    own, facts = on.evaluate(network, 1), ""
    with_retrain: float | Refusal = own if isinstance(own, Refusal) else 0.0
    if isinstance(own, Evaluation):
        ours = on.retrain(network, 2)
        assert own.cpu_s and ours.cpu_s and ours.accuracy is not None
        with_retrain = extra_epochs(own.cpu_s / ours.cpu_s) or ours.accuracy
        facts = f"{own.accuracy:6.1%}, {own.cpu_s / ours.cpu_s:4.1f} ×"
    bounded = off.evaluate(network, 1)
    without = bounded.accuracy if isinstance(bounded, Evaluation) else bounded
    shown = [f"{w:.1%}" if isinstance(w, float) else w.reason for w in (with_retrain, without)]
    kind = "honest" if honest else "cheat"
    print(f"{kind:7}{name:34}{facts:16}", end="")
    print(f"retrain: {shown[0]:9.40}  without: {shown[1]}", flush=True)
    if honest:
        return isinstance(with_retrain, float) and isinstance(without, float)
    return all(isinstance(w, Refusal) or w <= most for w in (with_retrain, without))


if __name__ == "__main__":
    sys.exit(main())
