"""From the bodies of a corpus to the whole files that they become: the same networks, once more.

What was found out about a body (that it is unique, that it runs) then holds for the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nngpt import contract
from nngpt.contract.answers import Answer, write
from nngpt.data.files import publish, scratch
from nngpt.errors import ConfigError, UserError
from nngpt.learning.corpus.splits import PARTS
from nngpt.prompts import Template
from nngpt.records import Candidate, Message, Mode, Prompt, Task


def convert(
    folder: Path,
    out: Path,
    bodies: Template,
    files: Template,
    tasks: Mapping[str, Task],
    defaults: contract.Defaults,
) -> int:
    """Write the corpus `out` in `full` mode, made of the one in `folder`; returns its pairs.

    Args:
        folder: what `nngpt corpus build` wrote in `body` mode.
        out: a folder that is not there yet, or is empty.
        bodies: the template its answers were written for.
        files: the template to ask with from now on, in `full` mode.
        tasks: the tasks by data set.
        defaults: values for what an answer leaves out.

    Raises:
        UserError: a file cannot be read or written.
        ConfigError: a line is no answer in `body` mode, or is for another task.
    """
    if files.mode is not Mode.FULL:
        raise ConfigError("not a template of full mode", where=f"--prompt {files.name}")
    parts = {}
    for part in PARTS:
        name = f"{part}.jsonl"
        lines = _read(folder / name)
        parts[name] = [
            _converted(line, bodies, files, tasks, defaults, f"{folder / name}, line {number}")
            for number, line in enumerate(lines, 1)
        ]
    try:
        with scratch(out.resolve()) as draft:
            for name, lines in parts.items():
                texts = (json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
                (draft / name).write_text("".join(texts), encoding="utf-8")
            publish(draft, out.resolve())
    except OSError as error:
        raise UserError(f"cannot be written ({error.strerror})", where=str(out)) from None
    return sum(map(len, parts.values()))


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(file)) from None
    except ValueError as error:
        raise UserError(f"not lines of JSON ({error})", where=str(file)) from None


def _converted(
    line: Mapping[str, Any],
    bodies: Template,
    files: Template,
    tasks: Mapping[str, Task],
    defaults: contract.Defaults,
    where: str,
) -> dict[str, Any]:
    task = tasks.get(line["task"].split(",")[0])
    if task is None or line["mode"] != Mode.BODY:
        raise ConfigError("not a body of a network for these tasks", where=where)
    messages = tuple(Message(m["role"], m["content"]) for m in line["messages"])
    asked = Prompt(line["template"], line["template_hash"], Mode.BODY, messages, line["prefill"])
    read = contract.read(line["completion"], asked, task, bodies, defaults)
    if not isinstance(read, Candidate):
        raise ConfigError(f"no network ({read.reason})", where=where)
    prompt = files.render(task, defaults.hyperparameters)
    whole = write(Answer(read.code.strip("\n"), {}))
    if not whole.startswith(prompt.prefill):
        raise ConfigError("the file does not begin as the prompt asks", where=files.name)
    return {
        **line,
        "messages": [{"role": m.role, "content": m.content} for m in prompt.messages],
        "prefill": prompt.prefill,
        "completion": whole.removeprefix(prompt.prefill),
        "stop": list(prompt.stop),
        "mode": Mode.FULL.value,
        "template": prompt.template,
        "template_hash": prompt.template_hash,
    }
