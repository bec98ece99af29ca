"""Sources: installed packages, wheels, sdists and folders."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from retrieval.rag_trees import write_tree

from nngpt.errors import UserError
from nngpt.retrieval import licences
from nngpt.retrieval.sources import from_folder, module_name, open_source

SKIPPED = "tests"
METADATA = "Metadata-Version: 2.1\nName: demo\nVersion: 1.2\nClassifier: License :: OSI Approved :: MIT License\n"  # noqa: E501


def test_an_installed_package_is_found_without_importing_it() -> None:
    before = set(sys.modules)
    source = open_source("torchvision")
    assert source.kind == "installed" and source.licence == "BSD-3-Clause" and source.version
    assert "torchvision.ops.misc" in source.files
    assert not {name for name in set(sys.modules) - before if name.startswith("torchvision")}


@pytest.mark.parametrize(
    ("name", "module"),
    [("PyYAML", "yaml.nodes"), ("typing_extensions", "typing_extensions"), ("pillow", "PIL.Image")],
)
def test_a_package_name_may_differ_from_its_modules(name: str, module: str) -> None:
    source = open_source(name)
    assert module in source.files and source.version and source.licence != licences.UNKNOWN


def test_a_wheel(tmp_path: Path) -> None:
    wheel = tmp_path / "demo-1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("demo/__init__.py", "X = 1\n")
        archive.writestr("demo/data.txt", "")
        archive.writestr("demo-1.2.dist-info/METADATA", METADATA)
    source = open_source(str(wheel))
    assert (source.name, source.version, source.licence, source.kind) == (
        "demo",
        "1.2",
        "MIT",
        "wheel",
    )
    assert list(source.files) == ["demo"] and source.files["demo"].read() == b"X = 1\n"


def test_an_sdist_with_its_sources_below_src(tmp_path: Path) -> None:
    sdist = tmp_path / "demo-1.2.tar.gz"
    files = {
        "PKG-INFO": METADATA,
        "setup.py": "",
        "src/demo/a.py": "A = 1\n",
        f"{SKIPPED}/t.py": "",
    }
    with tarfile.open(sdist, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"demo-1.2/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    source = open_source(str(sdist))
    assert (source.version, source.kind, list(source.files)) == ("1.2", "sdist", ["demo.a"])


def test_a_folder_may_be_a_checkout_or_a_package(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path / "checkout", {"pkg/a.py": "", f"{SKIPPED}/test_a.py": "", ".git/x.py": ""}
    )
    (root / "LICENSE").write_text("Apache License\nVersion 2.0\n")
    assert list(from_folder(root).files) == ["pkg", "pkg.a"]
    assert from_folder(root).licence == "Apache-2.0"
    assert list(from_folder(root / "pkg").files) == ["pkg", "pkg.a"]


def test_a_licence_may_be_in_a_separate_file(tmp_path: Path) -> None:
    wheel = tmp_path / "demo-1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("demo.py", "X = 1\n")
        archive.writestr("demo-1.2.dist-info/METADATA", "Name: demo\nVersion: 1.2\n")
        archive.writestr("demo-1.2.dist-info/LICENSE", "Apache License\nVersion 2.0\n")
    assert open_source(str(wheel)).licence == "Apache-2.0"


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("a-package-that-is-not-installed", "is not installed"),
        ("/no/such/folder", "is not a folder"),
        ("/no/such.whl", "cannot be read"),
    ],
)
def test_invalid_sources_are_user_errors(what: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        open_source(what)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains no Python module"):
        open_source(str(tmp_path))


def test_module_names() -> None:
    assert module_name("src/pkg/__init__.py") == "pkg"
    assert module_name("pkg/sub/a.py") == "pkg.sub.a"
    assert module_name("pkg/not-a-name.py") is None


@pytest.mark.parametrize(
    ("text", "spdx"),
    [
        ("GNU AFFERO GENERAL PUBLIC LICENSE Version 3", "AGPL-3.0-only"),
        ("GNU GENERAL PUBLIC LICENSE\n Version 3", "GPL-3.0-only"),
        ("Apache License 2.0", "Apache-2.0"),
        ("Permission is hereby granted, free of charge, to any person", "MIT"),
        ("", "NOASSERTION"),
    ],
)
def test_licences(text: str, spdx: str) -> None:
    assert licences.from_text(text) == spdx
