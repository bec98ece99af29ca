"""Library blocks in an answer: define the blocks that it uses, credit the blocks that it copies."""

from __future__ import annotations

import ast

from nngpt.records import Prompt

_FUTURE = "from __future__ import annotations\n"


def with_blocks(code: str, prompt: Prompt) -> str:
    """Return the network file with definitions of the prompt's blocks that it uses but lacks.

    Each definition keeps its header with origin and licence. Invalid Python is returned unchanged.
    """
    tree = _tree(code, prompt)
    if tree is None:
        return code
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    own = {n.name for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)}
    parts = [block.code for block in prompt.blocks if block.name in used - own]
    if not parts:
        return code
    future = _FUTURE if any(_FUTURE in part for part in [*parts, code]) else ""
    pieces = [part.replace(_FUTURE, "").strip("\n") for part in [*parts, code]]
    return future + "\n\n\n".join(pieces) + "\n"


def credited(code: str, prompt: Prompt) -> str:
    """Return the network file with a line of credit for each shown block whose class it copied."""
    tree = _tree(code, prompt)
    if tree is None:
        return code
    own = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    lines = [
        f"# {block.name} was shown: {block.target} {block.version}, {block.licence}, "
        f"SHA-256 {block.sha256}\n"
        for block in prompt.blocks
        if block.name in own
    ]
    return "".join(lines) + code


def _tree(code: str, prompt: Prompt) -> ast.Module | None:
    """Parse the code; None if the prompt shows no block or the code is not valid Python."""
    if not prompt.blocks:
        return None
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError):
        return None
