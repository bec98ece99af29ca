"""`nngpt dedup` end to end, with one line for every user error."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ROOT, Nngpt
from dedup_samples import code, other, write_collection
from sqlalchemy import insert

from nngpt.cli.main import main
from nngpt.store import Store
from nngpt.store import lemur_tables as lemur

KEPT = ["ga-1.py", "rag-1.py", "sub/rag-2.py"]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    write_collection(tmp_path / "in")
    return tmp_path / "in"


def test_all_outputs_of_one_run(nngpt: Nngpt, collection: Path, tmp_path: Path) -> None:
    (collection / "latin.py").write_bytes(b"'\xe9'")
    outputs = [
        "--list",
        "kept.txt",
        "--copy-to",
        "kept",
        "--jsonl",
        "p.jsonl",
        "--report",
        "r.html",
    ]
    done = nngpt("dedup", "in", "--json", *outputs)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert [k["name"] for k in facts["kept"]] == KEPT
    assert facts["networks"] == 6 and facts["removed_by_level"] == {"exact": 1, "lexical": 2}
    removed = {r["name"]: (r["level"], r["neighbour"]) for r in facts["removed"]}
    assert removed == {
        "sub/copy-1.py": ("exact", "ga-1.py"),
        "ga-2.py": ("lexical", "ga-1.py"),
        "sub/ga-3.py": ("lexical", "ga-1.py"),
    }
    assert all(0.9 <= r["similarity"] <= 1 for r in facts["removed"])
    assert facts["skipped"][0]["where"] == "in/latin.py"
    assert "skipped: in/latin.py: not in utf-8" in done.stderr

    assert (tmp_path / "kept.txt").read_text().splitlines() == KEPT
    for name in KEPT:
        assert (tmp_path / "kept" / name).read_bytes() == (collection / name).read_bytes()
    assert len(list((tmp_path / "kept").rglob("*.py"))) == 3
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    pairs = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [pair["name"] for pair in pairs] == KEPT

    before = {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*")}
    again = nngpt("dedup", "in", *outputs)
    assert again.returncode == 2 and "kept: the folder is not empty" in again.stderr
    assert {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*")} == before

    assert nngpt("dedup", "in", "--check", "--list", "-").returncode == 1
    clean = nngpt("dedup", "kept", "p.jsonl", "--check", "--levels", "exact", "--list", "-")
    assert clean.returncode == 1, "the pairs are the files once more"
    clean = nngpt("dedup", "p.jsonl", "--check", "--list", "-")
    assert clean.returncode == 0 and clean.stdout.splitlines() == KEPT


def test_the_summary_in_a_file(nngpt: Nngpt, collection: Path) -> None:
    done = nngpt("dedup", "in", "--per-family", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("6 networks in ")
    assert "2 kept, 4 removed (66.7%)" in done.stdout
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines()]
    assert ["exact", "identical", "1", "5"] in rows
    assert ["lexical", "0.9", "2", "3"] in rows
    assert ["family cap", "1 a family", "1", "2"] in rows
    assert ["ga", "3", "1", "–"] in rows
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    pairs = [line for line in lines if " ≈ " in line]
    assert pairs[1:] == ["sub/copy-1.py ≈ ga-1.py 1.00 exact", "sub/ga-3.py ≈ ga-1.py 1.00 lexical"]
    assert re.fullmatch(r"ga-2\.py ≈ ga-1\.py 0\.9\d lexical", pairs[0])


def test_pairs_and_differences_are_capped(nngpt: Nngpt, tmp_path: Path) -> None:
    for number in range(24):
        (tmp_path / f"a{number:02}.py").write_text(code(number + 1))
    (tmp_path / "b.py").write_text("\n".join(f"x{n} = {n}" for n in range(90)))
    done = nngpt("dedup", ".")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "left out: 1, no nn.Module (--all compares these, too)\n"
    assert done.stdout.count(" ≈ a00.py ") == 20 and "… 3 more pairs (--json" in done.stdout
    assert "family" not in done.stdout, "each network is a family of its own"
    told = nngpt("dedup", "--explain", "a00.py", "b.py")
    assert "identical" in told.stdout and len(told.stdout.splitlines()) < 80
    assert "more lines of the diff (--json has all)" in told.stdout
    assert nngpt("dedup", "b.py").stderr.endswith("no networks to compare. Give --all\n")


def test_the_mirror_keeps_the_most_accurate(nngpt: Nngpt, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    networks = {"ga-1": code(16), "ga-2": code(32), "rag-1": other("gate"), "new": other("pool")}
    trials = [("ga-1", "mnist", 0.9), ("ga-1", "svhn", 0.2), ("ga-2", "svhn", 0.4)]
    with Store.open(tmp_path / "runs" / "nngpt.db") as store, store.database.write() as session:
        for name, text in networks.items():
            session.execute(insert(lemur.nn).values(name=name, code=text, id=name))
        for number, (name, dataset, accuracy) in enumerate(trials):
            row = {"id": str(number), "nn": name, "dataset": dataset, "accuracy": accuracy}
            session.execute(insert(lemur.stat).values(**row))
    done = nngpt("dedup", "--lemur", "--json")
    assert [(k["name"], k["accuracy"]) for k in json.loads(done.stdout)["kept"]] == [
        ("ga-1", 0.9),
        ("new", None),
        ("rag-1", None),
    ]
    one = nngpt("dedup", "--lemur", "--best-on", "svhn", "--min-accuracy", 0.1, "--json")
    facts = json.loads(one.stdout)
    assert [(k["name"], k["accuracy"]) for k in facts["kept"]] == [("ga-2", 0.4)]
    assert facts["left_out"] == {"accuracy unknown": 2}

    (tmp_path / "mine.py").write_text(code(64))
    both = json.loads(nngpt("dedup", "--lemur", "mine.py", "--json").stdout)
    assert ("mine.py", "ga-1") in [(r["name"], r["neighbour"]) for r in both["removed"]]
    told = nngpt("dedup", "--lemur", "--explain", "ga-2", "mine.py")
    assert "Near-duplicates at level lexical: of the two, A is kept." in told.stdout, told.stderr
    assert nngpt("dedup", "--lemur", "--explain", "ga-2", "ga-9").returncode == 2


def test_explain_of_files_and_of_names(nngpt: Nngpt, collection: Path) -> None:
    levels = ("--levels", "exact,lexical,structural")
    files = nngpt("dedup", "--explain", "in/ga-1.py", "in/ga-2.py", *levels, "--check")
    assert files.returncode == 1, files.stderr
    assert "+        self.x0 = nn.Tanh()" in files.stdout
    names = nngpt("dedup", "in", "--explain", "ga-1.py", "sub/rag-2.py", "--check", "--json")
    assert names.returncode == 0, names.stderr
    assert json.loads(names.stdout)["verdict"] is None


def test_a_terminal_shows_a_bar_and_removes_it(collection: Path) -> None:
    for number in range(120):
        (collection / f"n-{number}.py").write_text(other(f"word{number}"))
    master, slave = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "nngpt", "dedup", "in", "--json"],
        cwd=collection.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=slave,
        timeout=300,
    )
    os.close(slave)
    seen = os.read(master, 100_000).decode()
    os.close(master)
    assert done.returncode == 0 and json.loads(done.stdout)["networks"] == 126
    assert "reading" in seen and "comparing" in seen
    assert "126/126" in seen or "378/378" in seen


MISTAKES = {
    "": ["nothing to compare", "--lemur"],
    "absent": ["absent", "No such file"],
    "in/latin.py": ["no networks to compare"],
    "in --levels exat": ["'exat'", "'exact'"],
    "in --levels ,": ["--levels", "no level"],
    "in --levels exact,exact": ["--levels", "twice"],
    "in --threshold nan": ["--threshold", "nan is not a number"],
    "in --threshold 1.01": ["--threshold", "1.01"],
    "in --min-accuracy -1": ["--min-accuracy", "-1.0"],
    "in --min-accuracy 0.5": ["no networks to compare"],
    "in --per-family 0": ["--per-family"],
    "in --shingle 0": ["--shingle"],
    "in --level-threshold structural=0.9": ["'structural'", "not in --levels"],
    "in --level-threshold lexical=2": ["--level-threshold", "2.0"],
    "in --level-threshold lexical": ["--level-threshold", "NAME=VALUE", "lexical=0.95"],
    "in --family-threshold gaa=0.9": ["'gaa'", "Did you mean 'ga'?"],
    "in --family-threshold ga=1 --family-threshold ga=0.9": ["'ga'", "twice"],
    "in --best-on mnist": ["--best-on"],
    "in --lemur --folder runs": ["runs/nngpt.db", "nngpt lemur pull"],
    "in --json --list -": ["--json", "--list"],
    "in --copy-to in": ["not empty", "--copy-to"],
    "in --report in": ["in: is a folder", "--report"],
    "in --report absent/r.html": ["absent/r.html", "--report"],
    "in --jsonl p.jsonl --task mnst": ["Did you mean 'mnist'?"],
    "in --explain ga-1.py ga-9.py": ["'ga-9.py'", "Did you mean 'ga-"],
    "--explain in/ga-1.py in/ga-9.py": ["in/ga-9.py"],
    "--explain in/ga-1.py in/latin.py": ["in/latin.py", "PEP 263"],
    "in --explain ga-1.py ga-2.py --report r.html": ["--explain", "no files"],
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=lambda a: a or "nothing")
def test_a_mistake_is_one_line_and_nothing_is_written(
    arguments: str,
    collection: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (collection / "latin.py").write_bytes(b"'\xe9'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["nngpt", "dedup", *arguments.split()])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    said = capsys.readouterr()
    line = said.err.splitlines()[-1]
    assert line.startswith("nngpt: ") and said.out == ""
    assert [part for part in MISTAKES[arguments] if part not in line] == [], line
    assert sorted(tmp_path.rglob("*")) == before
