"""Another corpus of a corpus of bodies: shorter ones, or the whole files that they become.

The mirror need not be read again, and what was found out about a network (that it is unique, that
it runs) need not be found out again.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nngpt.errors import ConfigError, UserError
from nngpt.files import publish, scratch
from nngpt.finetuning.corpus.compact import compact
from nngpt.finetuning.corpus.splits import PARTS
from nngpt.generation import contract
from nngpt.generation.contract.answers import Answer, write
from nngpt.generation.prompts.template import Template
from nngpt.records import Candidate, Message, Mode, Prompt, Refusal, Task

Line = dict[str, Any]
Check = Callable[[Candidate, str], Refusal | None]
"""Why a network does not run on a data set, None if it does; two threads may ask at once."""


@dataclass(frozen=True)
class Conversion:
    """How each line is made anew.

    Attributes:
        bodies: the template that the answers were written for, in `body` mode.
        target: the template to ask with from now on, in `body` or `full` mode.
        tasks: the tasks by data set.
        defaults: values for what an answer leaves out.
        compact: without comments, docstrings and annotations.
        max_chars: longest answer, None for any.
    """

    bodies: Template
    target: Template
    tasks: Mapping[str, Task]
    defaults: contract.Defaults
    compact: bool = False
    max_chars: int | None = None

    def line(self, line: Line, where: str) -> tuple[Line, Candidate] | str:
        """The new line and its network, or why it is left out.

        Raises:
            ConfigError: it is no answer in `body` mode, or is for another task.
        """
        task = self.tasks.get(line["task"].split(",")[0])
        if task is None or line["mode"] != Mode.BODY:
            raise ConfigError("not a body of a network for these tasks", where=where)
        read = self._read(line, task)
        if isinstance(read, Refusal):
            return f"{read.stage}: {read.reason}"
        prompt = self.target.render(task, self.defaults.hyperparameters)
        whole = prompt.prefill + read.written if self.target.mode is Mode.BODY else _file(read)
        if not whole.startswith(prompt.prefill):
            return "does not begin as the prompt asks"
        answer = whole.removeprefix(prompt.prefill)
        if self.max_chars is not None and len(answer) > self.max_chars:
            return f"more than {self.max_chars:,} characters"
        return {**line, **asked_for(prompt), "completion": answer}, read

    def _read(self, line: Line, task: Task) -> Candidate | Refusal:
        messages = tuple(Message(m["role"], m["content"]) for m in line["messages"])
        asked = Prompt("", "", Mode.BODY, messages, line["prefill"])
        read = contract.read(line["completion"], asked, task, self.bodies, self.defaults)
        if not self.compact or isinstance(read, Refusal):
            return read
        text = asked.prefill + read.written
        body = compact(text.removeprefix("```python\n").removesuffix("\n```"))
        if isinstance(body, Refusal):
            return body
        shorter = write(Answer(body, {})).removeprefix(asked.prefill)
        return contract.read(shorter, asked, task, self.bodies, self.defaults)


def convert(
    folder: Path,
    out: Path,
    conversion: Conversion,
    check: Check | None = None,
    limit: int | None = None,
    skip: int = 0,
    one_task: bool = False,
) -> tuple[int, Counter[str]]:
    """Write the corpus `out`, made of the one in `folder`.

    A network is left out as a whole; of what is left, `limit` networks after the first `skip` of
    each part are taken. With `one_task` each network is the answer for one of its tasks only, in
    turn. Returns the number of pairs, and why networks were left out.

    Raises:
        UserError: a file cannot be read or written.
        ConfigError: a line is no answer in `body` mode, or is for another task.
        ExecutionError: the sandbox of the check does not work.
    """
    left_out: Counter[str] = Counter()
    parts = {}
    for part in PARTS:
        file = folder / f"{part}.jsonl"
        networks: defaultdict[str, list[tuple[Line, Candidate] | str]] = defaultdict(list)
        for number, line in enumerate(read_lines(file), 1):
            networks[line["nn_id"]].append(conversion.line(line, f"{file}, line {number}"))
        with ThreadPoolExecutor(2) as threads:
            faults = threads.map(lambda lines: _fault(lines, check), networks.values())
            kept: list[list[Line]] = []
            for lines, fault in zip(networks.values(), faults, strict=True):
                if fault:
                    left_out[fault] += 1
                else:
                    kept.append([line[0] for line in lines if not isinstance(line, str)])
        chosen = kept[skip:] if limit is None else kept[skip : skip + limit]
        turns = [[lines[number % len(lines)]] for number, lines in enumerate(chosen)]
        parts[file.name] = [line for lines in (turns if one_task else chosen) for line in lines]
    write_parts(out, parts)
    return sum(map(len, parts.values())), left_out


def _fault(lines: Sequence[tuple[Line, Candidate] | str], check: Check | None) -> str:
    for made in lines:
        if isinstance(made, str):
            return made
        for dataset in made[0]["task"].split(",") if check else ():
            refusal = check(made[1], dataset) if check else None
            if refusal:
                return f"does not run: {refusal.stage}: {refusal.reason.partition(':')[0]}"
    return ""


def _file(read: Candidate) -> str:
    """The whole file as an answer."""
    return write(Answer(read.code.strip("\n"), {}))


def asked_for(prompt: Prompt) -> Line:
    """What a line of a corpus says about its prompt."""
    return {
        "messages": [{"role": m.role, "content": m.content} for m in prompt.messages],
        "prefill": prompt.prefill,
        "stop": list(prompt.stop),
        "mode": prompt.mode.value,
        "template": prompt.template,
        "template_hash": prompt.template_hash,
    }


def read_lines(file: Path) -> list[Line]:
    """The lines of a part of a corpus. Raises: UserError."""
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(file)) from None
    except ValueError as error:
        raise UserError(f"not lines of JSON ({error})", where=str(file)) from None


def write_parts(out: Path, parts: Mapping[str, Sequence[Line]]) -> None:
    """Write the parts of a corpus by file name, all or none of them. Raises: UserError."""
    target = out.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch(target) as draft:
            for name, lines in parts.items():
                texts = (json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
                (draft / name).write_text("".join(texts), encoding="utf-8")
            publish(draft, target)
    except OSError as error:
        raise UserError(f"cannot be written ({error.strerror})", where=str(out)) from None
