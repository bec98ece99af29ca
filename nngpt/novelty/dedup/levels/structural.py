"""Compare syntax trees: nested constructs and the layers that are created.

Names, literal values, annotations and docstrings are ignored, except names of called classes,
functions and methods of other modules: `nn.Conv2d(1)` and `nn.Linear(2)` differ, and so do
`x.mean()` and `x.sum()`; `self.a(x)` and `self.b(y)` do not.
"""

from __future__ import annotations

import ast

from nngpt.protocols import DedupLevel

_SKIPPED = frozenset({"annotation", "returns", "ctx", "type_comment", "type_ignores"})
_CHILDREN: dict[type[ast.AST], tuple[str, ...]] = {}
_CLOSE = ")"


class Structural:
    """Compare runs of nodes of the syntax tree, written in source order."""

    def pieces(self, code: str) -> list[str]:
        """Return the code as one piece: a tree must be parsed whole."""
        return [code]

    def tokens(self, piece: str) -> list[str]:
        """Return the kinds of the nodes in source order; the end of a block is a token too."""
        try:
            tree = ast.parse(piece)
        except (ValueError, RecursionError, MemoryError) as error:
            raise SyntaxError(str(error)) from None
        return _node_kinds(tree)


def _node_kinds(tree: ast.Module) -> list[str]:
    found: list[str] = []
    waiting: list[ast.AST | str] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            found.append(node)
            continue
        found.append(_kind(node))
        waiting.extend(reversed(_children(node)))
    return found


def _kind(node: ast.AST) -> str:
    kind = type(node).__name__
    if not isinstance(node, ast.Call):
        return kind
    called = node.func
    if isinstance(called, ast.Attribute):
        chosen = isinstance(called.value, ast.Name) and called.value.id == "self"
        return kind if chosen else f"Call {called.attr}"
    if isinstance(called, ast.Name) and called.id[:1].isupper():
        return f"Call {called.id}"
    return kind


def _children(node: ast.AST) -> list[ast.AST | str]:
    found: list[ast.AST | str] = []
    for field in _fields(type(node)):
        value = getattr(node, field)
        if isinstance(value, list):
            statements = [item for item in value if isinstance(item, ast.AST)]
            if field == "body":
                statements = [item for item in statements if not _is_docstring(item)]
                found += [*statements, _CLOSE]
            else:
                found += statements
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    known = _CHILDREN.get(kind)
    if known is None:
        known = tuple(field for field in kind._fields if field not in _SKIPPED)
        _CHILDREN[kind] = known
    return known


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def create() -> DedupLevel:
    """Create the structural dedup level: nodes of the syntax tree."""
    return Structural()
