"""Outputs are complete or absent, in the right place, and readable again."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from dedup_samples import code, small_outcome, write_collection

from nngpt import files
from nngpt.errors import UserError
from nngpt.generation.contract import answers
from nngpt.generation.contract.answers import Answer
from nngpt.novelty.dedup import outputs
from nngpt.novelty.dedup.collection import FAMILY_CAP, Collection, DedupOutcome, Network, collect
from nngpt.novelty.dedup.jsonl import read_lines
from nngpt.novelty.dedup.sources import read_paths
from nngpt.novelty.dedup.summary import clusters, dedup_facts, summarise


def all_kept(*networks: Network) -> tuple[Collection, DedupOutcome]:
    return Collection(networks), DedupOutcome(networks, (), {}, {})


@pytest.fixture
def little_room() -> Iterator[None]:
    """Limit files to 4,000 bytes, as on a disk that is almost full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_counts_add_up() -> None:
    collection, settings, outcome = small_outcome()
    summary = summarise(collection, settings, outcome)
    assert (summary.total, summary.kept, summary.seconds) == (5, 2, 0.75)
    assert dict(summary.removed) == {"exact": 1, "lexical": 1, FAMILY_CAP: 1}
    facts = {f.name: (f.total, f.kept, f.best) for f in summary.families}
    assert facts == {"ga": (3, 1, 0.9), "rag": (2, 1, 0.8)}
    (cluster,) = clusters(outcome)
    assert (cluster.kept.name, cluster.size) == ("ga-1", 3)


def test_json_has_everything_but_the_code() -> None:
    collection, settings, outcome = small_outcome()
    values = json.loads(json.dumps(dedup_facts(collection, settings, outcome), allow_nan=False))
    assert "class Net" not in json.dumps(values)
    assert [(k["name"], k["accuracy"]) for k in values["kept"]] == [("ga-1", 0.9), ("rag-1", 0.8)]
    removed = [(r["name"], r["level"], r["neighbour"], r["similarity"]) for r in values["removed"]]
    assert removed == [
        ("ga-2", "exact", "ga-1", 1.0),
        ("ga-3", "lexical", "ga-1", 0.95),
        ("rag-2", FAMILY_CAP, None, None),
    ]


@pytest.mark.parametrize("there", [True, False])
def test_copies_are_identical_and_keep_their_folders(tmp_path: Path, there: bool) -> None:
    write_collection(tmp_path / "in")
    collection = collect(*read_paths([tmp_path / "in"]))
    target = tmp_path / "out" / "kept"
    if there:
        target.mkdir(parents=True)
    number = target.stat().st_ino if there else None
    kept = tuple(n for n in collection.networks if n.name != "ga-2.py")
    outputs.copy_kept(target, collection, DedupOutcome(kept, (), {}, {}))
    copies = {str(f.relative_to(target)): f.read_bytes() for f in target.rglob("*") if f.is_file()}
    assert copies == {n.name: (tmp_path / "in" / n.name).read_bytes() for n in kept}
    assert number in (None, target.stat().st_ino), "a folder that was there stays the same"
    assert [f.name for f in target.parent.iterdir()] == ["kept"]
    assert target.stat().st_mode == tmp_path.joinpath("in").stat().st_mode


HOSTILE = [
    "../../outside",
    "/etc/passwd",
    "..",
    "",
    "a//b/./c",
    "a/b/c.py",
    "a",
    "a.py",
    "a.py/inner",
    ".py",
    "x" * 5000,
    "x" * 5000 + "y",
    "é" * 200,
    "corpus.jsonl:12",
]


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    networks = [Network(name, f"x = {i}\n", "f") for i, name in enumerate(HOSTILE)]
    paths = outputs.file_paths(networks)
    assert paths[0] == PurePosixPath("outside.py") and paths[5] == PurePosixPath("a/b/c~2.py")
    assert len(set(paths)) == len(HOSTILE)
    outputs.copy_kept(tmp_path / "kept", *all_kept(*networks))
    texts = sorted(f.read_text() for f in (tmp_path / "kept").rglob("*.py"))
    assert texts == sorted(n.code for n in networks)
    assert [f.name for f in tmp_path.iterdir()] == ["kept"]


@pytest.mark.usefixtures("little_room")
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_text("what was there")
    big = all_kept(Network("small", "x = 1", "f"), Network("big", "x = 1\n" * 2000, "f"))
    with pytest.raises(UserError, match="cannot be written"):
        outputs.copy_kept(tmp_path / "kept", *big)
    with pytest.raises(UserError, match="cannot be written"):
        files.write_file(tmp_path / "old.jsonl", [b"x" * 3000, b"y" * 3000])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        outputs.copy_kept(tmp_path / "empty", *big)
    assert sorted(f.name for f in tmp_path.rglob("*")) == ["empty", "old.jsonl"]
    assert (tmp_path / "old.jsonl").read_text() == "what was there"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield b"first line\n"
        raise KeyboardInterrupt

    (tmp_path / "list.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        files.write_file(tmp_path / "list.txt", failing())
    assert [f.read_text() for f in tmp_path.iterdir()] == ["old"]


def test_devices_folders_and_links_are_preserved(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No space left"):
        files.write_file(Path("/dev/full"), [b"x" * 100_000])
    with pytest.raises(UserError, match="Is a directory"):
        files.write_file(tmp_path, [b"text"])
    (tmp_path / "link").symlink_to("file")
    files.write_file(tmp_path / "link", [b"text"])
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_bytes() == b"text"


def test_output_paths_are_checked_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("")
    outputs.check_file(tmp_path / "new.html", "--report")
    files.check_new(tmp_path / "new")
    with pytest.raises(UserError, match="--list a file"):
        outputs.check_file(tmp_path, "--list")
    with pytest.raises(UserError, match="is read by this command"):
        outputs.check_file(tmp_path / "x" / ".." / "in.jsonl", "--jsonl", [tmp_path / "in.jsonl"])
    with pytest.raises(UserError, match=r"cannot be written.*--list"):
        outputs.check_file(tmp_path / "absent" / "list.txt", "--list")
    with pytest.raises(UserError, match="not empty"):
        files.check_new(tmp_path)
    with pytest.raises(UserError, match="Not a directory"):
        files.check_new(tmp_path / "in.jsonl")


CODES = {
    "plain": code(16),
    "fences inside": 'class Net:\n    """\n```python\nx\n```\n````\n"""\n',
    "tags inside": "class Net:\n    a = '<nn>', '</nn>', '<hp>', '<think>'\n",
    "windows": "class Net:\r\n    pass\r\n",
    "no network": "x = 1",
    "odd characters": "x = '\u2028 \x0c \0 \ud800 é'\n",
    "blank around": "\n\n  x = 1\n\n",
}


@pytest.mark.parametrize("text", CODES.values(), ids=CODES)
def test_code_survives_the_round_trip_through_a_chat_pair(tmp_path: Path, text: str) -> None:
    prompt = outputs.chat_prompt("mnist")
    line = outputs.chat_line(Network("ga-1", text, "ga", 0.5), prompt)
    assert line is not None and line.count(b"\n") == 1
    record = json.loads(line)
    assert [m["role"] for m in record["messages"]] == ["system", "user", "assistant"]
    assert "mnist" in record["messages"][1]["content"]
    read = answers.read(record["messages"][2]["content"])
    expected = text.replace("\r\n", "\n").strip("\n").rstrip()
    assert isinstance(read, Answer) and read.code == expected
    (tmp_path / "pairs.jsonl").write_bytes(line)
    (found,), skipped = read_lines(tmp_path / "pairs.jsonl")
    assert (found.code, found.family, found.accuracy, skipped) == (expected, "ga", 0.5, [])


def test_every_data_set_has_a_prompt() -> None:
    assert "(1, 3, 32, 32)" in outputs.chat_prompt("cifar10").messages[-1].content
    with pytest.raises(UserError, match="Did you mean 'mnist'"):
        outputs.chat_prompt("mnst")
