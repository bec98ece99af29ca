"""Documented commands and options exist, the README's commands run, no command is undocumented."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main
from command_line import ROOT, Nngpt, write_bright_and_dark
from pytest import CaptureFixture

from nngpt import config
from nngpt.cli import options
from nngpt.cli.help import EXAMPLES
from nngpt.cli.main import app, command_line, main
from nngpt.cycle.experiment import load_grid

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGS = sorted(config.resource_folder("configs").glob("*.yaml"))
COMMAND = re.compile(r"^(?:\$ |# )?(?:\.venv/bin/)?nngpt ((?!:).+)$", re.MULTILINE)


def commands(file: Path) -> list[str]:
    """Return the arguments of each `nngpt` command in a page, a configuration or the Makefile."""
    text = file.read_text(encoding="utf-8")
    if file.name == "Makefile":
        text = text.replace("\\\n", "").replace("\t$(BIN)/", "")
    if file.suffix == ".md":
        text = "\n".join(re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    return [found.split("  #")[0].strip() for found in COMMAND.findall(text)]


@cache
def leaf_commands() -> dict[str, list[str]]:
    """Return the options of each command, such as {"cycle run": ["--cycles", …]}."""
    found: dict[str, list[str]] = {}

    def walk(command: object, words: tuple[str, ...]) -> None:
        inner = getattr(command, "commands", None)
        if inner:
            for name, sub in inner.items():
                walk(sub, (*words, name))
        elif not command.hidden:  # type: ignore[attr-defined]
            given = command.params  # type: ignore[attr-defined]
            options = [o for p in given for o in (*p.opts, *p.secondary_opts)]
            found[" ".join(words)] = options

    walk(typer.main.get_command(app), ())
    return found


MAKEFILE = ROOT / "Makefile"
_NOISE = {"--no-fresh", "--no-probe", "--no-check", "--no-open"}
HELP = Path("help.py")
DOCUMENTED = [
    *((f, c) for f in [*PAGES, *CONFIGS, MAKEFILE] for c in commands(f)),
    *((HELP, example) for examples in EXAMPLES.values() for example in examples),
]


def unknown_options(words: list[str]) -> set[str]:
    """Return the options of a command line that its command, which must exist, does not have."""
    known = leaf_commands()
    name = next(n for n in (" ".join(words[:2]), words[0]) if n in known)
    options = {w.split("=")[0] for w in words if w.startswith("--")}
    return options - {*known[name], "--help"}


@pytest.mark.parametrize(("file", "command"), DOCUMENTED, ids=lambda x: getattr(x, "name", x))
def test_documented_command_exists(file: Path, command: str) -> None:
    words = shlex.split(command)
    assert words == ["--help"] or not unknown_options(words), f"{file.name}: {command}"


def test_every_claim_of_the_papers_has_a_command_that_exists_or_a_reason() -> None:
    text = (ROOT / "docs" / "papers.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| [CN][,:] .*\|$", text.split("## Claims and figures")[1], re.MULTILINE)
    rows = [row.strip("| ").split(" | ") for row in table]
    assert len(rows) > 35 and {len(row) for row in rows} == {5}
    for *_, command, why in rows:
        found = re.findall(r"`((?:nngpt |benchmarks/)[^`]+)`", f"{command} {why}")
        assert found or why != "–"
        assert found or command == "–", "what stands as a command is checked"
        for program, *words in map(shlex.split, found):
            if program != "nngpt":
                assert (ROOT / program).is_file(), program
                continue
            assert not unknown_options(words), words
            if words[:2] == ["experiment", "run"]:
                load_grid(words[2])
            elif words[:2] in (["cycle", "run"], ["cycle", "forecast"], ["learn", "rl"]):
                config.load(words[2])


def test_help_shows_choices_examples_and_one_kind_of_label(capsys: CaptureFixture[str]) -> None:
    known = leaf_commands()
    assert set(EXAMPLES) <= set(known)
    assert not [o for options in known.values() for o in options if o in _NOISE]
    with pytest.raises(SystemExit), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["nngpt", "cycle", "run", "--help"])
        main()
    said = capsys.readouterr().out
    for part in ("{CONFIG}", "full|standard|weak", "nngpt cycle run demo-mnist"):
        assert part in said, said
    assert "--fresh  " in said and "range" not in said

    def arguments(command: Any) -> Iterator[str]:
        for inner in getattr(command, "commands", {}).values():
            yield from arguments(inner)
        yield from (p.metavar for p in command.params if p.param_type_name == "argument")

    labels = set(arguments(command_line()))
    assert {label for label in labels if not re.fullmatch("[A-Z|]+", label)} == set()


@pytest.mark.parametrize(
    ("complete", "beginning", "expected"),
    [
        (options.config_names, "smo", ["smoke-mnist"]),
        (options.grid_names, "abl", ["ablation-cifar10", "ablation-mnist"]),
        (options.data_set_names, "cifar", ["cifar10", "cifar100"]),
        (options.engine_names, "sur", ["surrogate"]),
    ],
)
def test_names_are_completed(
    complete: Callable[[str], list[str]], beginning: str, expected: list[str]
) -> None:
    assert complete(beginning) == expected


def test_make_smoke_changes_settings_that_exist() -> None:
    words = next(w for w in map(shlex.split, commands(MAKEFILE)) if "name=smoke" in w)
    changes = [after for before, after in pairwise(words) if before == "--set"]
    settings = config.load(words[2], changes)
    assert (settings.name, settings.folder) == ("smoke", Path("runs/smoke"))


def test_every_command_is_in_the_list_of_commands() -> None:
    listed = [shlex.split(command) for command in commands(ROOT / "docs" / "commands.md")]
    names = {" ".join(words[:length]) for words in listed for length in (1, 2)}
    assert sorted(set(leaf_commands()) - names) == []


def test_every_page_is_linked_from_the_readme_and_the_list_of_commands() -> None:
    for page in (ROOT / "README.md", ROOT / "docs" / "commands.md"):
        text = page.read_text(encoding="utf-8")
        pages = {file.name for file in (ROOT / "docs").glob("*.md")} - {page.name}
        assert sorted(name for name in pages if f"{name})" not in text) == []


def test_the_readme_s_commands_run(nngpt: Nngpt, scripted: list[str], tmp_path: Path) -> None:
    """All in one folder, in order; a scripted LLM replaces long generation."""
    write_bright_and_dark(tmp_path / "my-images")
    ran = 0
    for command in commands(ROOT / "README.md"):
        words = shlex.split(command)
        if words[:2] == ["cycle", "run"] or words[0] == "generate":
            words += [*scripted, "--set", "evaluation.retrain=false"]
        if words[:2] == ["cycle", "run"]:
            words += ["--cycles", "1"]
        if words[0] == "search":
            words += ["--minutes", "4.9", "--candidates", "1", "--designs", "0"]
            words += ["--max-parameters", "1000", "--set", "task.train_limit=8"]
            words += ["--set", "evaluation.workers=1"]  # all its epochs take a few seconds
        done = nngpt(*words)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        ran += 1
    assert ran >= 6
