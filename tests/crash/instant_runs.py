"""Small runs of the real loop in which writing, training and fine-tuning take milliseconds."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from command_line import ANSWERS, CUT_OFF, GOOD, NEAR_TWIN, NO_LAYER, WEAK
from crash.instant_executor import WORKERS

ANOTHER = "8, 7, stride=3),\n    nn.SiLU(),\n    nn.LazyConv2d(12, 1),\n    nn.AvgPool2d(2),\n)"

_COMMON = {
    "llm.backend": "scripted",
    "llm.options.script": "answers.jsonl",
    "task.train_limit": 100,
    "task.validation_limit": 100,
    "task.threshold": 0.4,
    "evaluation.executor": "crash.instant_executor",
    "learning.learner": "crash.instant_learner",
}


@dataclass(frozen=True)
class Kind:
    """A kind of run: the LLM's script, the batch size, and other settings."""

    answers: tuple[str, ...]
    batch: int
    settings: tuple[tuple[str, object], ...]
    cycles: int = 2

    @property
    def limits(self) -> dict[str, int]:
        """Limits that the database keeps at any moment (`invariants.check`)."""
        lag = dict(self.settings).get("candidates.lag", 0)
        return {"batch": self.batch, "workers": WORKERS, "lag": int(str(lag))}

    def command(self, folder: Path, name: str = "killed") -> list[str]:
        """Write the script into `folder`, and return the command line of a run."""
        lines = [json.dumps({"text": text}) + "\n" for text in self.answers]
        (folder / "answers.jsonl").write_text("".join(lines))
        settings = {**_COMMON, **dict(self.settings), "name": name, "llm.batch_size": self.batch}
        sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        return ["cycle", "run", "smoke-mnist", "--cycles", str(self.cycles), *sets]


ONE_OF_EACH = Kind(
    (GOOD, NEAR_TWIN, WEAK, NO_LAYER, CUT_OFF),
    batch=5,
    settings=(("candidates.per_cycle", 5),),
)
"""Two cycles. In the first each gate refuses a candidate, and an adapter is made; the second writes
copies of the first, so nothing new is admitted and no adapter is made."""

ONE_CYCLE = replace(ONE_OF_EACH, cycles=1)
"""The first cycle of `ONE_OF_EACH`."""

BATCHES = Kind(
    (*ANSWERS, ANOTHER),
    batch=3,
    settings=(
        ("candidates.per_cycle", 6),
        ("candidates.until_admitted", 4),
        ("candidates.max_per_cycle", 9),
        ("learning.enabled", "false"),
    ),
)
"""Two cycles of several batches, written while others train; the number of batches depends on the
admissions. Learning is switched off."""

OVERLAPPING = replace(
    ONE_OF_EACH,
    answers=(*ANSWERS, ANOTHER),
    settings=(*ONE_OF_EACH.settings, ("candidates.lag", 1)),
    cycles=3,
)
"""Three cycles with a lag: each is written and trained while the one before is still open."""

REPAIRS = replace(
    ONE_CYCLE, settings=(*ONE_OF_EACH.settings, ("candidates.repairs", 2), ("seed", 3))
)
"""`ONE_CYCLE` with up to two repairs of each refused answer."""
