"""`nngpt generate` keeps each answer at once, and the same command resumes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nngpt import config
from nngpt.cycle.answers import AnswerFile, WrittenNetwork, generate_answers
from nngpt.errors import UserError
from nngpt.generation.llm.scripted import ScriptedLLM
from nngpt.records import Completion


def test_a_killed_command_resumes_with_the_same_answers(
    tmp_path: Path, scripted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [one for one in scripted if one != "--set"]
    settings = config.load("smoke-mnist", [*given, "llm.batch_size=3"])
    told: list[int] = []

    def write(file: Path | None, count: int) -> list[WrittenNetwork]:
        told.clear()
        kept = None if file is None else AnswerFile(file, settings)
        report = lambda number, _written: told.append(number)  # noqa: E731
        return generate_answers(settings, count, lambda _: None, report, kept)[1]

    whole = write(None, 7)
    assert told == [1, 2, 3, 4, 5, 6, 7]
    file, asked = tmp_path / "kept.jsonl", list[int]()
    assert [c.text for c, _ in write(file, 4)] == [c.text for c, _ in whole[:4]]
    lines = file.read_bytes().splitlines(keepends=True)
    assert len(lines) == 4
    file.write_bytes(b"".join(lines) + lines[0][:50])  # killed while it wrote
    generate = ScriptedLLM.generate

    def counted(self: ScriptedLLM, prompt: object, count: int, *rest: object) -> list[Completion]:
        asked.append(count)
        return generate(self, prompt, count, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ScriptedLLM, "generate", counted)
    resumed = write(file, 7)
    assert asked == [3, 1] and told == [1, 2, 3, 4, 5, 6, 7]
    assert [c.text for c, _ in resumed] == [c.text for c, _ in whole]
    kept = [json.loads(line)["number"] for line in file.read_bytes().splitlines()]
    assert kept == [1, 2, 3, 4, 5, 6, 7]
    with pytest.raises(UserError, match="holds answers written with other settings"):
        AnswerFile(file, config.load("smoke-mnist", given))
