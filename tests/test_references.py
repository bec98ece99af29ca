"""References in code and docs: the file, module, attribute, heading or invariant exists."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import nngpt

ROOT = Path(__file__).parents[1]
TOP = "nngpt|docs|tests|configs|prompts|scripts|benchmarks"
UNITS = "|".join(folder.name for folder in (ROOT / "nngpt").iterdir() if folder.is_dir())
PATH = re.compile(
    rf"(?<![\w./-])((?:{TOP})/[\w./-]*\w|(?:{UNITS})/[\w./-]+\.(?:py|js))(?![\w*{{<$])"
)
BARE = re.compile(r"`(?!mylab/)([\w./-]+\.(?:py|js|html))`|\b([A-Z]+\.md)\b")
MODULE = re.compile(r"(?<![\w./-])nngpt(?:\.[A-Za-z]\w*)+")
LINK = re.compile(r"\]\((?![a-z]+:)([^)\s#]*)")
HEADING = re.compile(r"([\w./-]+\.md|(?<=\]\())#([\w-]+)")
INVARIANT = re.compile(r'invariant\s+(\d|"[^"]+")')

IMAGINARY = {
    *("net.py", "mine.py", "network.py", "model.py", "tests/t.py", "tests/test_a.py"),
    *("index.md", "comparison.md", "CARD.md", "transform.py"),
}
"""Files of a user in examples, and files that commands write."""

ENDINGS = {"db", "ipynb", "json", "yaml", "py"}
"""`nngpt.db` is a file, not a module."""


@cache
def tracked() -> frozenset[str]:
    """Return the files of the working tree that git does not ignore."""
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return frozenset(name for name in found.splitlines() if (ROOT / name).is_file())


@cache
def known_paths() -> frozenset[str]:
    """Return every file and folder, by its path from the root and from each folder above it."""
    paths = {str(path) for name in tracked() for path in (Path(name), *Path(name).parents)}
    parts = [path.split("/") for path in paths]
    return frozenset("/".join(path[start:]) for path in parts for start in range(len(path)))


@cache
def pages() -> dict[str, str]:
    """Return the text of all code and docs; change log and results are history."""
    history = ("CHANGELOG.md", "docs/results/", "tests/test_references.py")
    names = [n for n in sorted(tracked()) if not n.startswith(history)]
    kinds = {".md", ".py", ".yaml", ""}
    texts = [n for n in names if Path(n).suffix in kinds and not Path(n).name.startswith(".")]
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in texts}


@cache
def definitions(module: Path) -> frozenset[str]:
    """Return the names that a module defines or imports, at any depth."""
    found: set[str | None] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        stored = isinstance(getattr(node, "ctx", None), ast.Store)
        if stored or isinstance(node, ast.ClassDef | ast.FunctionDef | ast.alias):
            found |= {getattr(node, field, None) for field in ("name", "asname", "id", "attr")}
    return frozenset(filter(None, found))


def missing_modules(text: str) -> Iterator[str]:
    for name in set(MODULE.findall(text)):
        path, rest = ROOT / "nngpt", name.split(".")[1:]
        if rest[0] in nngpt.__all__ and not (path / rest[0]).is_dir():
            public = getattr(nngpt, rest[0])
            known = {*dir(public), *getattr(public, "__annotations__", ())}
            if not known.issuperset(rest[1:2]):
                yield name
            continue
        while rest and ((path / rest[0]).is_dir() or (path / f"{rest[0]}.py").is_file()):
            path /= rest.pop(0)
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if rest and rest[0] not in ENDINGS and not definitions(file).issuperset(rest):
            yield name


def missing_files(text: str) -> Iterator[str]:
    named = {match[1].rstrip(".") for match in PATH.finditer(text)}
    named |= {match[1] or match[2] for match in BARE.finditer(text)}
    return (name for name in named - IMAGINARY - known_paths() if not (ROOT / name).exists())


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the headings of a page as a browser addresses them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings)


def missing_headings(page: Path, text: str) -> Iterator[str]:
    for file, anchor in HEADING.findall(text):
        places = (page.parent / file if file else page, ROOT / file)
        target = next((place for place in places if place.is_file()), None)
        if not target or anchor not in anchors(target):
            yield f"{file}#{anchor}"


def missing_links(page: Path, text: str) -> Iterator[str]:
    return (target for target in LINK.findall(text) if not (page.parent / target).exists())


def missing_invariants(text: str) -> Iterator[str]:
    design = pages()["docs/design.md"]
    known = re.findall(r"^- \*\*([^*]+?)\.?\*\*", design, re.MULTILINE)
    cited = {" ".join(name.strip('"').split()) for name in INVARIANT.findall(text)}
    return (f'invariant "{name}"' for name in cited.difference(known))


def missing(name: str, text: str) -> Iterator[str]:
    yield from missing_modules(text)
    yield from missing_files(text)
    yield from missing_headings(ROOT / name, text)
    yield from missing_invariants(text)
    if name.endswith(".md"):
        yield from missing_links(ROOT / name, text)


def test_references_exist() -> None:
    wrong = [f"{name}: {found}" for name, text in pages().items() for found in missing(name, text)]
    assert not wrong, "\n".join(wrong)


def test_the_list_of_files_is_up_to_date() -> None:
    page = runpy.run_path(str(ROOT / "scripts" / "file-map"))["page"]()
    assert pages()["docs/files.md"] == page, "run scripts/file-map"


def test_missing_references_are_found() -> None:
    page = """nngpt.store.nothing nngpt.records.Nothing nngpt.records.Prompt.nothing
    docs/nothing.md cycle/nothing.py `nothing.py` FACTS.md invariant 7 invariant "Nothing"
    [one](nothing.md) [two](design.md#nothing) docs/design.md#nobody"""
    assert len(set(missing("docs/page.md", page))) == 12
