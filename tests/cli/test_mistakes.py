"""Bad input: exit code 2, one line with the fault, its place and a hint, and nothing written."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from command_line import Nngpt, start_nngpt

from nngpt.cli.main import main
from nngpt.config import SHIPPED

RUN = ("cycle", "run")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            (*RUN, "smoke-minst"),
            ["smoke-minst: no such file", "Did you mean 'smoke-mnist'?"],
        ),
        ((*RUN, "./mine.yaml"), ["mine.yaml", "no such file"]),
        ((*RUN, "mine.yaml"), ["nngpt: mine.yaml: no such file. Known: body-cpu, cifar10-gpu, "]),
        ((*RUN, "demo"), ["demo: no such file. Did you mean 'demo-mnist'?"]),
        (
            ("experiment", "run", "mine"),
            ["mine: no such file. Known: ablation-cifar10, ablation-mnist, controls-cifar10, "],
        ),
        ((*RUN, "smoke-mnist", "--set", "task.datset=mnist"), ["task.datset", "'dataset'"]),
        ((*RUN, "smoke-mnist", "--set", "cycles=many"), ["cycles", "integer", "'many'"]),
        ((*RUN, "smoke-mnist", "--set", "cycles"), ["--set", "key=value"]),
        ((*RUN, "smoke-mnist", "--set", "task.dataset=minst"), ["data set 'minst'", "'mnist'"]),
        ((*RUN, "smoke-mnist", "--set", "llm.backend=transformer"), ["'transformers'"]),
        (
            (*RUN, "smoke-mnist", "--set", "llm.model=smollm-135m"),
            ["smollm-135m", "Did you mean 'smollm2-135m'"],
        ),
        ((*RUN, "smoke-mnist", "--set", "llm.url=http://x"), ["llm.url", "llm.options.url"]),
        (
            (*RUN, "paper-cifar10", "--set", "novelty.options.permutation=9"),
            ["'novelty.options.permutation'", "Did you mean 'permutations'?"],
        ),
        ((*RUN, "smoke-mnist", "--set", "llm.device=cuda"), ["CUDA", "llm.device"]),
        ((*RUN, "smoke-mnist", "--set", "llm.device=tpu"), ["llm.device", "'tpu'"]),
        ((*RUN, "smoke-mnist", "--set", "prompt.template=feature"), ["Did you mean 'features'?"]),
        (
            (*RUN, "smoke-mnist", "--set", "evaluation.transform=nrom"),
            ["'nrom'"],
        ),
        ((*RUN, "smoke-mnist", "--set", "evaluation.hyperparameters={lr: 0.1}"), ["momentum"]),
        ((*RUN, "smoke-mnist", "--set", "learning.corpus=gone.jsonl"), ["gone.jsonl"]),
        ((*RUN, "smoke-mnist", "--set", "sampling.temperature=.inf"), ["sampling.temperature"]),
        ((*RUN, "smoke-mnist", "--set", "llm.adapter=here"), ["here/nngpt.json", "adapter"]),
        ((*RUN, "smoke-mnist", "--set", "folder=/proc/runs"), ["/proc/runs", "folder"]),
        (("cycle", "status"), ["runs/nngpt.db", "nngpt cycle run smoke-mnist"]),
        (("cycle", "show", "3"), ["runs/nngpt.db"]),
        (("evaluate", "absent.py"), ["absent.py"]),
        (("generate", "smoke-mnist", "--out", "/proc/networks"), ["/proc/networks", "--out"]),
        (("models", "pull", "smollm"), ["smollm"]),
        (("data", "pull", "cifar"), ["cifar"]),
        (("data", "pull", "image-folder"), ["--root"]),
    ],
)
def test_one_line_and_nothing_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["nngpt", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    stderr = capsys.readouterr().err
    assert ended.value.code == 2, stderr
    lines = stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("nngpt: "), stderr
    assert [part for part in said if part not in lines[0]] == [], lines[0]
    assert list(tmp_path.iterdir()) == []


def test_database_of_another_program(nngpt: Nngpt, scripted: list[str], tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    file = tmp_path / "runs" / "nngpt.db"
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("create table bookmarks (url)")
    before = file.read_bytes()
    done = nngpt("cycle", "run", "smoke-mnist", *scripted)
    assert done.returncode == 2
    assert "nngpt.db" in done.stderr and "Traceback" not in done.stderr
    assert file.read_bytes() == before
    assert [f.name for f in file.parent.iterdir()] == ["nngpt.db"]


def test_adapter_for_another_base(nngpt: Nngpt, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    shipped = SHIPPED / "smollm2-135m-lemur"
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).symlink_to(shipped / name)
    lineage = json.loads((shipped / "nngpt.json").read_text())
    (folder / "nngpt.json").write_text(json.dumps({**lineage, "base": "qwen2.5-coder-1.5b"}))
    done = nngpt("cycle", "run", "smoke-mnist", "--set", f"llm.adapter={folder}")
    assert done.returncode == 2
    assert "was made for qwen2.5-coder-1.5b" in done.stderr
    assert "Set llm.model to qwen2.5-coder-1.5b" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_files_of_a_run_that_vanished(nngpt: Nngpt, scripted: list[str], tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").unlink()
    done = nngpt("cycle", "run", "smoke-mnist", *scripted)
    assert done.returncode == 2
    assert "answers.jsonl" in done.stderr


def test_a_file_where_a_folder_should_be(nngpt: Nngpt, scripted: list[str], tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    for folder in ("taken", "taken/below"):
        for arguments, option in (
            (("generate", "smoke-mnist", "--out", folder), "--out"),
            ((*RUN, "smoke-mnist", "--set", f"folder={folder}"), "--set folder"),
        ):
            done = nngpt(*arguments, *scripted)
            assert done.returncode == 2
            assert f"nngpt: {folder}: " in done.stderr and option in done.stderr
            assert "Traceback" not in done.stderr
    assert (tmp_path / "taken").read_text() == ""


def test_unknown_command_and_option(nngpt: Nngpt) -> None:
    assert nngpt("cylce").returncode == 2
    assert nngpt("cycle", "run", "smoke-mnist", "--cycle", "3").returncode == 2


def test_help_needs_no_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    for arguments in (["--help"], ["cycle", "run", "--help"], ["--version"], ["models", "list"]):
        done = start_nngpt(tmp_path, arguments)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["models", "data"])
def test_lists_answer_in_json(nngpt: Nngpt, kind: str) -> None:
    names = {entry["name"] for entry in json.loads(nngpt(kind, "list", "--json").stdout)}
    assert names >= ({"smollm2-135m"} if kind == "models" else {"mnist", "svhn"})
