"""Questions that end with the last tries: what was changed and what came of it (`prompt.memory`).

The tries are those of the cycles that are closed when a cycle begins, in the order of writing, so
they are the same at any speed and after a resume. For the same reason no line has an attempt's
number or a measured time.

What a line says was changed depends on the mode: an answer that is JSON stands there itself; of a
diff, the added and the removed lines; of other networks, how their layers and settings differ from
those of the best network so far, or all of them if that is shorter.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate

from nngpt.generation import modes
from nngpt.generation.contract import answers
from nngpt.generation.contract.candidate import Defaults, full_answer, parse
from nngpt.generation.prompts.known import KnownNetwork
from nngpt.generation.prompts.repair import ADDRESS
from nngpt.generation.prompts.template import asking
from nngpt.protocols import AnswersJson, PromptMode
from nngpt.records import Arm, Prompt, Refusal, Stage
from nngpt.store import AttemptRecord, Store

LONGEST = 1_500
"""Characters that the lines of all tries have together at most; the oldest are left out."""

_BEST, _CHANGE, _REASON = 300, 160, 100
"""Characters of the best network's layers, of a change, and of the reason of a refusal."""

_MEASURED = re.compile(r"\d[\d.,]*(?: ± [\d.,]+)? ?(?:s|ms|×|[CG]PU seconds|seconds)(?!\w)")
"""A measured time in a reason; the limit, which may follow it, stays."""

_MODULE = re.compile(r"\b(?:torch\.)?nn\.")


@dataclass(frozen=True)
class Memory:
    """What the questions of a cycle say of the tries before it.

    Attributes:
        best: line on the network that the tries are compared with, "" if with none.
        tries: a line for each try, the oldest first.
    """

    best: str = ""
    tries: tuple[str, ...] = ()

    def added(self, prompt: Prompt) -> Iterator[Prompt]:
        """Yield the prompt with all tries, then with ever fewer: the oldest are left out first."""
        question = prompt.messages[-1].content
        head = f"{self.best}\nLast tries, compared with it" if self.best else "Last tries"
        for oldest in range(len(self.tries)):
            lines = "\n".join([f"{head}, the newest last:", *self.tries[oldest:]])
            yield asking(prompt, f"{question}\n\n{lines}")


def last_tries(store: Store, run_id: int, upto_cycle: int, count: int) -> list[AttemptRecord]:
    """Return the loop's last attempts up to and including a cycle, in the order of writing."""
    found: list[AttemptRecord] = []
    while upto_cycle > 0 and len(found) < count:
        found = [*store.attempts(run_id, upto_cycle, with_code=True, arm=Arm.LOOP), *found]
        upto_cycle -= 1
    return found[max(0, len(found) - count) :]


def make_memory(
    store: Store,
    tries: Sequence[AttemptRecord],
    known: Sequence[KnownNetwork],
    defaults: Defaults,
) -> Memory:
    """Return what questions say of these tries.

    Args:
        tries: settled attempts, the oldest first.
        known: the networks admitted up to the cycle of the last one.
        defaults: the settings of which the parents in prompts say nothing.
    """
    if not tries:
        return Memory()
    writer = _Writer(modes.load(tries[0].mode), known, defaults)
    lines = [writer.line(attempt, store.prompt(attempt.prompt_hash)) for attempt in tries]
    lengths = accumulate(len(line) + 1 for line in reversed(lines))
    kept = sum(length <= LONGEST for length in lengths)
    return Memory(writer.best, tuple(lines[len(lines) - kept :]))


class _Writer:
    """Writes the lines of a cycle's memory.

    Attributes:
        best: as in `Memory`.
    """

    def __init__(self, mode: PromptMode, known: Sequence[KnownNetwork], defaults: Defaults) -> None:
        self._mode, self.best = mode, ""
        self._best: list[str] = []
        self._parents: dict[str, float] = {}
        if mode.changes_parent:
            self._parents = {full_answer(n.candidate, defaults): n.accuracy for n in known}
        elif known and not isinstance(mode, AnswersJson):
            top = max(known, key=lambda network: network.accuracy)
            self._best = _parts(top.answer)
            self.best = f"Best so far, {top.accuracy:.1%}: {_cut(', '.join(self._best), _BEST)}"

    def line(self, attempt: AttemptRecord, prompt: Prompt) -> str:
        """Return the line of an attempt that answered this prompt."""
        network = attempt.candidate
        change = self._change(prompt.prefill + network.written) if network else "no network"
        return f"{_cut(change, _CHANGE)}: {self._outcome(attempt, prompt)}"

    def _change(self, answer: str) -> str:
        """Return what a whole answer changes."""
        if isinstance(self._mode, AnswersJson):
            return answer
        if self._mode.changes_parent:
            return _edits(answer)
        parts = _parts(answer)
        return min(_difference(self._best, parts), ", ".join(parts) or "no layers", key=len)

    def _outcome(self, attempt: AttemptRecord, prompt: Prompt) -> str:
        """Return what came of an attempt: its accuracy, or the reason of its refusal."""
        refusal, before = attempt.refusal, self._parents.get(prompt.parent)
        if attempt.result is not None:
            reached = f"{attempt.result.accuracy:.1%}"
            from_to = reached if before is None else f"from {before:.1%} to {reached}"
            similar = refusal is not None and refusal.stage is Stage.NOVELTY
            return f"{from_to}, too similar to a known network" if similar else from_to
        assert refusal is not None, "the attempts of closed cycles are settled"
        if refusal.stage is Stage.DUPLICATE:
            return "repeats a known network"
        return f"refused ({refusal.stage}): {_cut(repeatable(refusal.reason), _REASON)}"


def repeatable(reason: str) -> str:
    """Return the reason of a refusal without what differs from training to training."""
    return ADDRESS.sub("0x…", _MEASURED.sub("…", reason, count=1))


def _parts(answer: str) -> list[str]:
    """Return the layers of a whole answer, and the settings that it gives."""
    found = answers.read(answer)
    if isinstance(found, Refusal):  # a list of layers, without fences or tags
        return find_layers(answer)
    settings = {**found.hyperparameters, "batch": found.batch, "transform": found.transform}
    given = [f"{name}={value}" for name, value in settings.items() if value is not None]
    return [*find_layers(found.code), *given]


def find_layers(code: str) -> list[str]:
    """Return the layers that code makes, in its order, as source without `nn.`; [] if it is wrong.

    A layer is a call of a name of `nn`, or of any name, that begins with a capital, and that holds
    no other layer.
    """
    tree = parse(code)
    if isinstance(tree, Refusal):
        return []
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    made = {call for call in calls if _makes_layer(call.func)}
    inner = [call for call in made if made.isdisjoint({*ast.walk(call)} - {call})]
    inner.sort(key=lambda call: (call.lineno, call.col_offset))
    # Not ast.unparse, whose recursion a long sum exceeds.
    return [_MODULE.sub("", ast.get_source_segment(code, call) or "") for call in inner]


def _makes_layer(function: ast.expr) -> bool:
    """Return True for `Name`, `nn.Name` and `torch.nn.Name`."""
    match function:
        case ast.Name(name) | ast.Attribute(ast.Name("nn") | ast.Attribute(attr="nn"), name):
            return name[0].isupper()
    return False


def _edits(answer: str) -> str:
    """Return the added and then the removed lines of an answer's diff, and its settings."""
    edits = list[str]()
    for block in answers.blocks(answer):
        lines = [line for line in block.text.split("\n") if line[:1] in ("+", "-")]
        changed = [line[0] + line[1:].strip().rstrip(",") for line in lines if line[1:].strip()]
        edits += [block.text] if block.language == "json" else sorted(changed, key=_sign)
    return " ".join(edits)


def _sign(change: str) -> str:
    """Return the sign of a change; + comes before -, since a long text is cut at its end."""
    return change[0]


def _difference(before: Sequence[str], after: Sequence[str]) -> str:
    """Return what the one list lacks (-) and adds (+) in comparison with the other."""
    changes = list[str]()
    for tag, i, j, m, n in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            changes += [*(f"-{part}" for part in before[i:j]), *(f"+{part}" for part in after[m:n])]
    return " ".join(changes) or "the same layers"


def _cut(text: str, longest: int) -> str:
    """Return a text as one line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
