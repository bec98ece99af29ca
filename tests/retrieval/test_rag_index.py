"""The block index: whole sources, updated by hash; blocks and search."""

from __future__ import annotations

from pathlib import Path

import pytest
from store_samples import open_new

from nngpt.errors import UserError
from nngpt.retrieval import index, index_writer
from nngpt.retrieval.licences import is_copyleft
from nngpt.retrieval.search import search, split_words
from nngpt.retrieval.sources import open_source
from nngpt.store.database import Database

MIXING = '''
import torch.nn as nn
from torch.nn import Module as M

class Depthwise(nn.Module):
    """Depth-wise separable convolution.

    More words.
    """

class Attention(M):
    """Multi-head self-attention over patches."""

class Plain:
    pass
'''
HEAD = "from .mixing import Attention as Base\n\nclass Pooled(Base):\n    pass\n"


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_new(tmp_path / "nngpt.db").database


def write(folder: Path, **files: str) -> Path:
    package = folder / "blocks"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    return folder


def add(database: Database, folder: Path) -> index_writer.IndexReport:
    return index_writer.add_source(database, open_source(str(folder)), str(folder))


def test_blocks_are_the_modules_among_the_classes(database: Database, tmp_path: Path) -> None:
    root = write(tmp_path / "tree", mixing=MIXING, head=HEAD)
    done = add(database, root)
    assert (done.files, done.new, done.classes, done.broken) == (3, 3, 4, {})
    found = index.blocks(database)
    assert [block.name for block in found] == ["Pooled", "Depthwise", "Attention"]
    pooled, depthwise, _ = found
    assert pooled.target == "tree:blocks.head.Pooled"
    assert (depthwise.doc, depthwise.line) == ("Depth-wise separable convolution.", 5)
    assert depthwise.licence == "NOASSERTION" and depthwise.copyleft


def test_only_changed_files_are_parsed_again(database: Database, tmp_path: Path) -> None:
    root = write(tmp_path / "tree", mixing=MIXING, head=HEAD)
    add(database, root)
    (source,) = index.sources(database)
    before = {module: file.read() for module, file in source.files.items()}
    assert before["blocks.mixing"] == MIXING.encode()
    done = add(database, root)
    assert (done.new, done.changed, done.removed, done.classes) == (0, 0, 0, 4)
    (root / "blocks" / "head.py").unlink()
    write(root, mixing=MIXING.replace("class Plain:", "class Plain(nn.ReLU):"), tail="x = 1\n")
    done = add(database, root)
    assert (done.files, done.new, done.changed, done.removed) == (3, 1, 1, 1)
    assert [block.name for block in index.blocks(database)] == [
        *("Depthwise", "Attention", "Plain")
    ]


def test_a_broken_file_is_stored_and_reported(database: Database, tmp_path: Path) -> None:
    root = write(tmp_path / "tree", mixing=MIXING, broken="class (:\n", null="x = '\0'\n")
    (root / "blocks" / "latin.py").write_bytes(b"# caf\xe9\nclass A:\n    pass\n")
    done = add(database, root)
    assert done.broken.keys() == {"blocks/broken.py", "blocks/null.py", "blocks/latin.py"}
    assert "does not parse" in done.broken["blocks/broken.py"]
    assert len(index.blocks(database)) == 2
    again = add(database, root)
    assert again.broken == done.broken and again.changed == 0


def test_search_finds_words_of_names_docstrings_and_code(
    database: Database, tmp_path: Path
) -> None:
    add(database, write(tmp_path / "tree", mixing=MIXING, head=HEAD))
    known = index.blocks(database)
    for question, first in (
        ("depthwise separable", "Depthwise"),
        ("attentions over 32×32 patches", "Attention"),
        ("Pooled", "Pooled"),
    ):
        hits = search(known, question, 2)
        assert hits[0].block.name == first
        assert search(known, question, 2) == hits
    assert search(known, "quantum", 5) == [] == search([], "attention", 5) == search(known, "", 5)


def test_names_are_split_into_words() -> None:
    assert split_words("DepthwiseConv2d of_ResNets") == [
        "depthwise",
        "conv",
        "2",
        "d",
        "res",
        "net",
    ]
    assert split_words("HTTPServer") == ["http", "server"]


@pytest.mark.parametrize(
    ("licence", "copyleft"),
    [
        *(("MIT", False), ("Apache-2.0 AND BSD-3-Clause", False), ("AGPL-3.0-only", True)),
        *(("MIT OR GPL-3.0-only", False), ("MIT AND LGPL-3.0-only", True), ("NOASSERTION", True)),
        *(("", True), ("Apache-2.0 WITH LLVM-exception", False)),
    ],
)
def test_copyleft_licences(licence: str, copyleft: bool) -> None:
    assert is_copyleft(licence) is copyleft


def test_a_missing_index_is_a_user_error(database: Database) -> None:
    with pytest.raises(UserError, match="no block is indexed"):
        index.sources(database)
    with pytest.raises(UserError, match="tree: is not indexed"):
        index_writer.remove_source(database, "tree")


def test_a_source_can_be_removed(database: Database, tmp_path: Path) -> None:
    add(database, write(tmp_path / "tree", mixing=MIXING))
    index_writer.remove_source(database, "tree")
    assert index.blocks(database) == []
