"""Reading collections from disk: files, names, and items that are skipped."""

from __future__ import annotations

import io
import json
import os
import tokenize
import zipfile
from pathlib import Path

import pytest
from dedup_samples import code, other
from sqlalchemy import insert
from store_samples import open_new

from nngpt.errors import StoreError, UserError
from nngpt.files import decode
from nngpt.novelty.dedup.collection import Collection, collect
from nngpt.novelty.dedup.jsonl import read_lines
from nngpt.novelty.dedup.sources import (
    LARGEST,
    NO_MODULE,
    NetworkSources,
    defines_module,
    read_mirror,
    read_paths,
)
from nngpt.store import Store
from nngpt.store import lemur_tables as lemur
from nngpt.store.lemur.mirror import open_mirror


def read(*paths: Path) -> Collection:
    return collect(*read_paths(paths))


def reasons(collection: Collection) -> dict[str, str]:
    return {skipped.where: skipped.reason for skipped in collection.skipped}


def test_a_folder_is_searched_to_any_depth(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "c" / "ga-1.py").write_text("x = 1\n")
    (tmp_path / "AlexNet.py").write_text("x = 2\n")
    (tmp_path / "notes.txt").write_text("not a network")
    found = read(tmp_path)
    assert [(n.name, n.family, n.code, n.accuracy) for n in found.networks] == [
        ("AlexNet.py", "AlexNet", "x = 2\n", None),
        ("b/c/ga-1.py", "ga", "x = 1\n", None),
    ]
    assert [n.source for n in found.networks][1] == str(tmp_path / "b" / "c" / "ga-1.py")
    assert not found.skipped and not found.originals


ENCODED = {
    "plain": "x = 'é'\n".encode(),
    "mark": b"\xef\xbb\xbfx = 1\n",
    "windows": b"x = 1\r\ny = 2\r\n",
    "old mac": b"x = 1\ry = 2\r",
    "latin": b"# -*- coding: latin-1 -*-\nx = '\xe9'\n",
    "second line": b"#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\nx = '\x80'\n",
    "third line does not count": "#\n#\n# coding: latin-1\nx = 'é'\n".encode(),
    "a word": b"x = 'encoding: nothing'\n",
    "mark and name": b"\xef\xbb\xbf# coding: utf-8\nx = 1\n",
    "nul": b"x = '\0'\n",
}


@pytest.mark.parametrize("raw", ENCODED.values(), ids=ENCODED)
def test_text_is_read_as_python_reads_it(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "a.py").write_bytes(raw)
    with tokenize.open(tmp_path / "a.py") as stream:
        expected = stream.read()
    found = read(tmp_path)
    assert [n.code for n in found.networks] == [expected]
    assert found.original(found.networks[0]) == raw


@pytest.mark.parametrize(
    "raw",
    [
        b"x = '\xe9'\n",
        b"# coding: klingon\n",
        b"# coding: rot13\nx\n",
        b"\xef\xbb\xbf# coding: latin-1\nx = 1\n",
        "x = 1\n".encode("utf-16"),
    ],
)
def test_undecodable_text_is_refused(raw: bytes) -> None:
    with pytest.raises((SyntaxError, UnicodeDecodeError, LookupError)):
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        raw.decode(encoding)
    with pytest.raises(ValueError, match=r"(?s)encoding|PEP 263"):
        decode(raw)


def test_unreadable_files_are_reported(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("x = 1\n")
    (tmp_path / "latin.py").write_bytes(b"x = '\xe9'\n")
    (tmp_path / "blank.py").write_text(" \n\n")
    (tmp_path / "loop.py").symlink_to("loop.py")
    (tmp_path / "gone.py").symlink_to("nowhere.py")
    (tmp_path / "again.py").symlink_to("good.py")
    (tmp_path / "down").symlink_to(".")
    os.mkfifo(tmp_path / "pipe.py")
    with (tmp_path / "vast.py").open("wb") as stream:
        stream.truncate(LARGEST + 1)
    found = read(tmp_path)
    # The link comes first in the order of names, so it is the file itself that is met again.
    assert [n.name for n in found.networks] == ["again.py"]
    assert {Path(where).name: reason for where, reason in reasons(found).items()} == {
        "latin.py": "not in utf-8, which Python expects (PEP 263)",
        "blank.py": "empty",
        "loop.py": f"cannot be read ({os.strerror(40)})",
        "gone.py": "cannot be read (No such file or directory)",
        "good.py": f"the same file as {tmp_path / 'again.py'}",
        "down": "a link to a folder, not followed",
        "pipe.py": "not a regular file",
        "vast.py": "larger than 16 MiB",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folders_without_permission_are_reported(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "a.py").write_text("x = 1\n")
    found = read(tmp_path)
    assert [n.name for n in found.networks] == ["a.py"]
    assert "Permission denied" in reasons(found)[str(tmp_path / "closed")]


def test_a_file_counts_once_by_any_path(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "link").symlink_to(tmp_path)
    found = read(tmp_path, tmp_path / "a.py", tmp_path / "link" / "a.py", tmp_path / ".")
    assert len(found.networks) == 1
    assert [s.reason for s in found.skipped if "link" not in s.reason] == [
        f"the same file as {tmp_path / 'a.py'}"
    ] * 3


def test_clashing_names_are_extended_by_folders(tmp_path: Path) -> None:
    for place in ("one/x.py", "two/x.py", "one/deep/y.py", "two/y.py"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(f"# {place}\n")
    found = read(tmp_path / "one", tmp_path / "two")
    assert {n.name: n.code for n in found.networks} == {
        "one/x.py": "# one/x.py\n",
        "two/x.py": "# two/x.py\n",
        "deep/y.py": "# one/deep/y.py\n",
        "y.py": "# two/y.py\n",
    }


def test_odd_file_names_can_be_printed(tmp_path: Path) -> None:
    for name in (b"line\nend.py", b"latin-\xe9.py", b"\x1b[31mred.py"):
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_text("x = 1\n")  # noqa: PTH118
    names = [n.name for n in read(tmp_path).networks]
    assert sorted(names) == ["\\x1b[31mred.py", "latin-\\udce9.py", "line\\nend.py"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("absent", ""), ("notes.txt", ".jsonl"), ("ab.nn.db", "nngpt lemur import"), ("no.whl", "")],
)
def test_other_files_are_a_user_error(tmp_path: Path, name: str, hint: str) -> None:
    for other_name in ("notes.txt", "ab.nn.db", "no.whl"):
        (tmp_path / other_name).write_text("")
    with pytest.raises(UserError) as caught:
        read(tmp_path / name)
    assert caught.value.where == str(tmp_path / name) and hint in caught.value.hint


FENCED = "Here it is.\n```python\nclass Net: pass\n```\nEnjoy."
RECORDS = [
    {"code": "class Net: pass", "name": "ga-7", "accuracy": 0.5},
    {"nn_code": "class Net: pass\r\n", "name": "x", "family": "mine", "accuracy": None},
    {"completion": FENCED},
    {"completion": "class Net: pass"},
    {"completion": "<nn>\nclass Net: pass\n</nn>", "name": ""},
    {
        "messages": [
            {"role": "assistant", "content": "```python\nan older answer\n```"},
            {"role": "user", "content": "Again!"},
            {"role": "assistant", "content": FENCED},
        ]
    },
]


def test_code_is_found_in_several_jsonl_layouts(tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    file.write_text("\n\n".join(map(json.dumps, RECORDS)), encoding="utf-8-sig")
    found, skipped = read_lines(file)
    assert not skipped
    assert {f.code.strip() for f in found} == {"class Net: pass"}
    assert [(f.family, f.accuracy) for f in found[:3]] == [
        ("ga", 0.5),
        ("mine", None),
        ("all", None),
    ]
    names = [n.name for n in collect(found).networks]
    assert names == ["ga-7", "x", "all.jsonl:5", "all.jsonl:7", "all.jsonl:9", "all.jsonl:11"]


BROKEN = {
    b'{"code": "x = 1"': "not JSON (Expecting ',' delimiter, column 17)",
    b'{"code": "\xe9"}': "not UTF-8",
    b"[1, 2]": "not a JSON object",
    b"[" * 100_000: "nested too deeply",
    b'{"name": "x"}': "no code in code, nn_code, completion, messages, text, content (see --key)",
    b'{"code": 3}': "code is not text",
    b'{"code": " "}': "its code is empty",
    b'{"code": "x", "accuracy": 93.1}': "accuracy 93.1 is not a number from 0 to 1",
    b'{"code": "x", "accuracy": NaN}': "accuracy nan is not a number from 0 to 1",
    b'{"code": "x", "accuracy": true}': "accuracy True is not a number from 0 to 1",
    b'{"code": "x", "name": 4}': "name is not text",
    b'{"messages": []}': "messages has no assistant turn",
    b'{"messages": [{"role": "assistant", "content": [1]}]}': "the assistant turn is not text",
    b'{"completion": "```python\\nclass Net:"}': "the answer is cut off: its code never ends",
}


MODULES = {
    "import torch.nn as nn\nclass A(nn.Module):\n    pass": True,
    "class A(\n    torch.nn.Sequential,\n    Mixin):\n    pass": True,
    "class A(LightningModule): x = 'unclosed": True,
    "if True:\n    class A(nn.Conv2d): ...": True,
    "class A(Base):\n    def forward(self, x): return x": True,
    "class A(torch.autograd.Function):\n    def forward(ctx, x): return x": False,
    "class A:\n    def forward(self, x): return x": False,
    "from torch.nn import Module\nx = 1": False,
    "class Config(dict): pass": False,
}


@pytest.mark.parametrize(("text", "expected"), MODULES.items())
def test_modules_are_known_by_their_bases(text: str, expected: bool) -> None:
    assert defines_module(text) is expected


def test_only_files_with_a_module_count(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "lib.whl", "w") as archive:
        archive.writestr("lib/ga-1.py", code(16))
        archive.writestr("lib/__init__.py", "from .ga import *")
        archive.writestr("lib/latin.py", b"'\xe9'")
        archive.writestr("lib-1.dist-info/METADATA", "Name: lib")
    (tmp_path / "helpers.py").write_text("x = 1\n")
    records = [{"text": code(8)}, {"content": "x = 1"}, {"code": "x = 1"}]
    (tmp_path / "dump.jsonl").write_text("\n".join(map(json.dumps, records)))
    paths = [tmp_path / name for name in ("lib.whl", "helpers.py", "dump.jsonl")]
    found = NetworkSources(paths).read()
    assert [n.name for n in found.networks] == ["lib/ga-1.py", "dump.jsonl:1", "dump.jsonl:3"]
    assert found.networks[0].source == f"{tmp_path}/lib.whl:lib/ga-1.py"
    assert found.left_out == {NO_MODULE: 3}
    assert reasons(found) == {
        f"{tmp_path}/lib.whl:lib/latin.py": "not in utf-8, which Python expects (PEP 263)"
    }
    everything = NetworkSources(paths, everything=True).read()
    assert len(everything.networks) == 6 and not everything.left_out


def test_the_field_of_the_code_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"body": code(8), "code": "x"}) + '\n{"code": "y"}'
    )
    found = NetworkSources([tmp_path / "a.jsonl"], key="body").read()
    assert [n.code for n in found.networks] == [code(8)]
    assert [s.reason for s in found.skipped] == ["no 'body'"]


def test_broken_lines_are_reported_with_their_number(tmp_path: Path) -> None:
    file = tmp_path / "half.jsonl"
    good = b'{"code": "class Net: pass"}'
    file.write_bytes(b"\n".join(part for line in BROKEN for part in (line, good)) + b"\n")
    found, skipped = read_lines(file)
    assert len(found) == len(BROKEN)
    assert [s.where for s in skipped] == [f"{file}:{2 * n + 1}" for n in range(len(BROKEN))]
    assert [s.reason for s in skipped] == list(BROKEN.values())


def test_long_lines_and_clashing_names(tmp_path: Path) -> None:
    long = "x = 1  # " + "é" * 500_000
    lines = [{"code": long, "name": "a"}, {"code": "y", "name": "a"}, {"code": "z", "name": "b"}]
    (tmp_path / "one.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    (tmp_path / "two.ndjson").write_text(json.dumps({"code": "w\ud800", "name": "\ud800\n"}))
    found = read(tmp_path / "one.jsonl", tmp_path / "two.ndjson")
    assert {n.name: n.code for n in found.networks} == {
        "one.jsonl:1/a": long,
        "one.jsonl:2/a": "y",
        "b": "z",
        "\\ud800": "w\ud800",
    }


@pytest.fixture
def mirror(tmp_path: Path) -> Store:
    """Create four networks, some with trials on two data sets."""
    store = open_new(tmp_path / "nngpt.db")
    networks = {"ga-1": code(16), "ga-2": code(32), "rag-1": other("gate"), "odd": "x = '\0\ud800'"}
    trials = [
        ("ga-1", "cifar-10", 0.4),
        ("ga-1", "mnist", 0.9),
        ("ga-1", "mnist", 0.8),
        ("ga-2", "cifar-10", 0.5),
        ("rag-1", "mnist", None),
    ]
    with store.database.write() as session:
        for name, text in networks.items():
            session.execute(insert(lemur.nn).values(name=name, code=text, id=name))
        for number, (name, dataset, accuracy) in enumerate(trials):
            row = {"id": str(number), "nn": name, "dataset": dataset, "accuracy": accuracy}
            session.execute(insert(lemur.stat).values(**row))
    return store


def test_the_mirror_gives_the_best_accuracy(mirror: Store) -> None:
    found = collect(read_mirror(mirror)).networks
    assert [(n.name, n.family, n.accuracy) for n in found] == [
        ("ga-1", "ga", 0.9),
        ("ga-2", "ga", 0.5),
        ("odd", "odd", None),
        ("rag-1", "rag", None),
    ]
    assert found[0].code == code(16) and found[2].code == "x = '\0\ud800'"
    on_one = read_mirror(mirror, "cifar-10")
    assert [f.accuracy for f in on_one] == [0.4, 0.5, None, None]
    some = read_mirror(mirror, only=["rag-1", "ga-1"])
    assert [(f.parts[-1], f.accuracy) for f in some] == [("ga-1", 0.9), ("rag-1", None)]


def test_unknown_names_in_the_mirror_are_reported(mirror: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'cifar10'.*Did you mean 'cifar-10'"):
        read_mirror(mirror, "cifar10")
    with pytest.raises(StoreError, match=r"'rag-l'.*Did you mean 'rag-1'"):
        read_mirror(mirror, only=["ga-1", "rag-l"])
    open_new(tmp_path / "empty" / "nngpt.db").close()
    with pytest.raises(StoreError, match=r"is empty.*nngpt lemur pull"):
        open_mirror(tmp_path / "empty")


def test_minimum_accuracy_excludes_unknown_accuracies(mirror: Store) -> None:
    all_of_it = collect(read_mirror(mirror))
    good = all_of_it.with_min_accuracy(0.5)
    assert [n.name for n in good.networks] == ["ga-1", "ga-2"]
    assert good.left_out == {"accuracy unknown": 2}
    assert all_of_it.with_min_accuracy(0.6).left_out == {
        "accuracy below 0.6": 1,
        "accuracy unknown": 2,
    }
