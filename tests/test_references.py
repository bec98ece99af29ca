"""References in code and docs: every file, module, attribute, heading and invariant exists."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOP = "nngpt|docs|tests|configs|prompts|scripts|benchmarks"
PATH = re.compile(rf"(?<![\w./-])((?:{TOP})/[\w./-]*\w)(?![\w*{{<$])")
MODULE = re.compile(r"(?<![\w./-])nngpt((?:\.[A-Za-z_]\w*)+)(?!\w|\()")
BARE = re.compile(r"`([\w-]+\.(?:py|md|js|html))`|\b([A-Z]+\.md)\b")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
INVARIANT = re.compile(r"invariant (\d|\"[^\"]+\"|\*\*[^*]+\*\*)")
NOT_TRACKED = {"net.py", "mine.py", "network.py", "model.py"} | {
    *("card.md", "index.md", "comparison.md", "CARD.md"),
}
"""Files of an imaginary user in examples, and files that commands write."""

NOT_OURS = {"nngpt.db", "nngpt.json", "nngpt.cli", "nngpt.yaml"}
"""Words that look like modules: files of a run."""


@cache
def tracked() -> tuple[str, ...]:
    """Files under version control, or all files where there is no repository."""
    found = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(name for name in found.stdout.split("\n") if name and (ROOT / name).is_file())


@cache
def known_paths() -> frozenset[str]:
    parents = (str(parent) for name in tracked() for parent in Path(name).parents)
    return frozenset([*tracked(), *parents])


def pages() -> list[str]:
    """Markdown and code in which references are checked; change logs and results are history."""
    history = ("CHANGELOG.md", "docs/results/")
    kinds = (".md", ".py", ".yaml")
    found = [n for n in tracked() if n.endswith(kinds) and not n.startswith(history)]
    return [name for name in found if name != "tests/test_references.py"]


@cache
def text_of(name: str) -> str:
    """A page's text."""
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def names_in(module: str) -> frozenset[str]:
    """Names that a module defines or imports at any depth, methods and attributes included."""
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name | ast.alias | ast.Attribute):
            found |= {getattr(node, field, None) for field in ("id", "asname", "name", "attr")}
    return frozenset(name for name in found if name)


def missing_modules(text: str) -> Iterator[str]:
    for match in MODULE.finditer(text):
        whole = match[0]
        if whole in NOT_OURS or whole.endswith((".db", ".yaml", ".py", ".json")):
            continue
        parts = whole.split(".")
        length = next(n for n in range(len(parts), 0, -1) if is_module(".".join(parts[:n])))
        rest, module = parts[length:], ".".join(parts[:length])
        if rest and rest[0] not in names_in(module):
            yield whole


@cache
def is_module(name: str) -> bool:
    path = name.replace(".", "/")
    return f"{path}.py" in known_paths() or f"{path}/__init__.py" in known_paths()


def missing_files(name: str, text: str) -> Iterator[str]:
    basenames = {Path(path).name for path in tracked()}
    for match in PATH.finditer(text):
        path = match[1].rstrip(".")
        if path not in known_paths() and not (ROOT / path).exists():
            yield path
    for match in BARE.finditer(text):
        file = match[1] or match[2]
        if file not in basenames | NOT_TRACKED and name.endswith((".md", ".py")):
            yield file


@cache
def anchors(page: Path) -> frozenset[str]:
    """The headings of a page as a browser addresses them."""
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return frozenset(heading.replace(" ", "-") for heading in kept)


def broken_links(page: Path, text: str) -> Iterator[str]:
    for target in LINK.findall(text):
        file, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        aim = page.parent / file if file else page
        if not aim.exists() or (anchor and anchor not in anchors(aim)):
            yield target


def test_references_exist() -> None:
    wrong = []
    for name in pages():
        text = text_of(name)
        found = [*missing_modules(text), *missing_files(name, text)]
        if name.endswith(".md"):
            found += broken_links(ROOT / name, text)
        wrong += [f"{name} refers to {reference}" for reference in sorted(set(found))]
    assert not wrong, "\n".join(wrong)


def test_invariants_are_cited_by_name() -> None:
    known = set(re.findall(r"^- \*\*([^*]+?)\.?\*\*", text_of("docs/design.md"), re.MULTILINE))
    assert len(known) == 9
    cited = {
        (name, found.strip('"*')) for name in pages() for found in INVARIANT.findall(text_of(name))
    }
    assert cited and {found for _, found in cited} <= known, cited
