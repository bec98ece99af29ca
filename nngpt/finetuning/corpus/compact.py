"""Shorter networks that do the same: for small models, whose attention and budget are short."""

from __future__ import annotations

import ast

from nngpt.records import Refusal, Stage


def compact(code: str) -> str | Refusal:
    """The code without comments, docstrings, annotations of arguments and needless blank lines."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Refusal(Stage.PARSE, "the code is not valid Python")
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _without_docstring(node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
    return ast.unparse(tree)


def _without_docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
) -> None:
    if ast.get_docstring(node, clean=False) is not None:
        rest = node.body[1:]
        node.body = rest if rest or isinstance(node, ast.Module) else [ast.Pass()]
