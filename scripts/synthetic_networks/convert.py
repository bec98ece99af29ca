"""Convert a corpus of bodies: into shorter bodies, or into whole files.

The mirror is not read again, and the results of deduplication and build check stay valid.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from nngpt.errors import ConfigError
from nngpt.finetuning.corpus.bodies import strip_comments
from nngpt.finetuning.corpus.build import PARTS
from nngpt.generation import contract
from nngpt.generation.contract.answers import Answer, write
from nngpt.generation.pairs import prompt_keys
from nngpt.generation.prompts.template import Template
from nngpt.records import Candidate, Message, Prompt, Refusal, Task
from synthetic_networks.lines import Line, read_lines, write_parts

Check = Callable[[Candidate, str], Refusal | None]
"""Returns why a network fails on a data set, None if it trains; called from two threads."""


@dataclass(frozen=True)
class Conversion:
    """Rewrites each line of a corpus.

    Attributes:
        bodies: template of the corpus, of `body` mode.
        target: template of the new corpus, of `body` or `full` mode.
        tasks: the tasks by data set.
        defaults: values for settings that an answer leaves out.
        compact: remove comments, docstrings and annotations.
        max_chars: maximum length of an answer in characters; None for any.
    """

    bodies: Template
    target: Template
    tasks: Mapping[str, Task]
    defaults: contract.Defaults
    compact: bool = False
    max_chars: int | None = None

    def convert_line(self, line: Line, where: str) -> tuple[Line, Candidate] | str:
        """Return the new line and its network, or the reason to exclude the line.

        Raises:
            ConfigError: the line is not an answer in `body` mode, or belongs to another task.
        """
        task = self.tasks.get(line["task"].split(",")[0])
        if task is None or line["mode"] != "body":
            raise ConfigError("not a body of a network for these tasks", where=where)
        read = self._read(line, task)
        if isinstance(read, Refusal):
            return f"{read.stage}: {read.reason}"
        prompt = self.target.render(task, self.defaults.hyperparameters)
        whole = prompt.prefill + read.written if self.target.mode == "body" else _whole_file(read)
        if not whole.startswith(prompt.prefill):
            return "does not begin as the prompt asks"
        answer = whole.removeprefix(prompt.prefill)
        if self.max_chars is not None and len(answer) > self.max_chars:
            return f"more than {self.max_chars:,} characters"
        return {**line, **prompt_keys(prompt), "completion": answer}, read

    def _read(self, line: Line, task: Task) -> Candidate | Refusal:
        """Return the network of a line, without comments if `compact`."""
        messages = tuple(Message(m["role"], m["content"]) for m in line["messages"])
        asked = Prompt("", "", self.bodies.mode, messages, line["prefill"])
        read = contract.read(line["completion"], asked, task, self.bodies, self.defaults)
        if not self.compact or isinstance(read, Refusal):
            return read
        text = asked.prefill + read.written
        body = strip_comments(text.removeprefix("```python\n").removesuffix("\n```"))
        if isinstance(body, Refusal):
            return body
        shorter = write(Answer(body, {})).removeprefix(asked.prefill)
        return contract.read(shorter, asked, task, self.bodies, self.defaults)


def convert_corpus(
    folder: Path,
    out: Path,
    conversion: Conversion,
    check: Check | None = None,
    limit: int | None = None,
    skip: int = 0,
    one_task: bool = False,
) -> tuple[int, Counter[str]]:
    """Convert the corpus in `folder` into the corpus `out`.

    A network is excluded with all its lines. Return the number of pairs, and the number of excluded
    networks by reason.

    Args:
        check: build check; None to skip it.
        limit: maximum number of networks of each part, after `skip`; None for all.
        skip: number of networks of each part to leave out first.
        one_task: take each network as the answer for one of its tasks only, in turn.

    Raises:
        UserError: a file cannot be read or written.
        ConfigError: a line is not an answer in `body` mode, or belongs to another task.
        ExecutionError: the sandbox of the check does not work.
    """
    excluded: Counter[str] = Counter()
    parts = {}
    for part in PARTS:
        file = folder / f"{part}.jsonl"
        networks: defaultdict[str, list[tuple[Line, Candidate] | str]] = defaultdict(list)
        for number, line in enumerate(read_lines(file), 1):
            found = conversion.convert_line(line, f"{file}, line {number}")
            networks[line["nn_id"]].append(found)
        with ThreadPoolExecutor(2) as threads:
            reasons = threads.map(lambda lines: _exclusion(lines, check), networks.values())
            kept: list[list[Line]] = []
            for lines, reason in zip(networks.values(), reasons, strict=True):
                if reason:
                    excluded[reason] += 1
                else:
                    kept.append([line[0] for line in lines if not isinstance(line, str)])
        chosen = kept[skip:] if limit is None else kept[skip : skip + limit]
        turns = [[lines[number % len(lines)]] for number, lines in enumerate(chosen)]
        parts[file.name] = [line for lines in (turns if one_task else chosen) for line in lines]
    write_parts(out, parts)
    return sum(map(len, parts.values())), excluded


def _exclusion(lines: Sequence[tuple[Line, Candidate] | str], check: Check | None) -> str:
    """Return the reason to exclude a network, given its converted lines; "" to keep it."""
    for made in lines:
        if isinstance(made, str):
            return made
        for dataset in made[0]["task"].split(",") if check else ():
            refusal = check(made[1], dataset) if check else None
            if refusal:
                return f"does not run: {refusal.stage}: {refusal.reason.partition(':')[0]}"
    return ""


def _whole_file(candidate: Candidate) -> str:
    """Return a network's whole file as an answer of `full` mode."""
    return write(Answer(candidate.code.strip("\n"), {}))
