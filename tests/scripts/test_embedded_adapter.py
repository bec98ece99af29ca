"""`scripts/embedded-adapter` calls commands that exist, with valid options, in a workable order."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import typer.main
from command_line import ROOT
from synthetic_networks.__main__ import app as synthetic_networks

from nngpt.cli.main import app as nngpt

RECORDER = """#!/bin/sh
# Stands for Python: records its arguments, and writes every part of the corpus of --out.
printf '%s\\n' "$*" >> "$RECORDED"
while [ $# -gt 0 ]; do
  if [ "$1" = --out ]; then
    mkdir -p "$2"
    for part in train dev test; do echo '{}' > "$2/$part.jsonl"; done
  fi
  shift
done
"""


def recorded_calls(folder: Path) -> list[list[str]]:
    """Run the script with a recorder instead of Python, and return the arguments of each call."""
    recorder, recorded = folder / "python", folder / "calls"
    recorder.write_text(RECORDER)
    recorder.chmod(0o755)
    chosen = {"PYTHON": str(recorder), "RECORDED": str(recorded), "STEPS": "corpora adapters"}
    subprocess.run(
        [ROOT / "scripts" / "embedded-adapter", folder / "work", "learning.epochs=1"],
        env={**os.environ, **chosen, "DIVISOR": "100"},
        check=True,
    )
    return [shlex.split(line) for line in recorded.read_text().splitlines()]


def parse(words: list[str]) -> dict[str, Any]:
    """Parse the words of a call as its command does, and return the values by option."""
    apps = {"nngpt": nngpt, "synthetic_networks": synthetic_networks}
    assert words.pop(0) == "-m"
    command: Any = typer.main.get_command(apps[words.pop(0)])
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    parsed: dict[str, Any] = command.make_context(command.name, words).params
    return parsed


def test_every_call_is_valid_and_reads_what_an_earlier_one_wrote(tmp_path: Path) -> None:
    calls = recorded_calls(tmp_path)
    names = [" ".join(call[1:4]) for call in calls]
    assert names[0] == "nngpt lemur pull" and names[-1] == "nngpt learn sft"
    assert names.count("nngpt learn sft") == 3
    written: set[Path] = set()
    counts = []
    for call in calls:
        values = parse(call[:])
        inputs = [*values.get("corpus", ()), *values.get("dev", ())]
        if call[1] == "synthetic_networks":
            inputs.append(values["folder"] / "train.jsonl")
            counts += [values["count"]] if "count" in values else []
        for file in inputs:
            assert file.is_file() and file.parent in written, f"{file} in {call}"
        if values.get("out"):
            written.add(values["out"])
    assert counts == [8, 40, 13, 4, 1, 1, 1], "made smaller by the divisor"


def test_an_interrupted_script_resumes(tmp_path: Path) -> None:
    first = recorded_calls(tmp_path)
    again = recorded_calls(tmp_path)[len(first) :]
    assert [call[1:4] for call in again] == [
        ["nngpt", "lemur", "pull"],  # the recorder makes no database
        *([["nngpt", "learn", "sft"]] * 3),  # which finds a finished adapter itself
    ]
