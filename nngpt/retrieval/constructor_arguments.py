"""Guess arguments for constructing a block from its signature, without running any code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

WIDTH = 64
"""Number of channels or features that arguments and inputs agree on."""

_NAMES: tuple[tuple[str, str], ...] = (
    (r"(num_|n_|n)?heads?(_num)?|nhead|num_attention_heads", "4"),
    (r"num_classes|n_classes|nc|classes", "10"),
    (r"(kernel_size|ks|kernel|k|kernel_sizes?)", "3"),
    (r"(stride|dilation|groups?|num_groups|reduction|expansion|factor|s|d|g)", "1"),
    (r"scale(_factor)?", "1"),
    (r"(padding|pad|p)", "1"),
    (r"(window_size|win_size|ws|block_size)", "4"),
    (r"(depths?|num_layers|layers|n_layers|num_blocks|num_convs|n|num_levels|num_stages)", "2"),
    (r"(input_resolution|resolution|(feat_|fmap_|img_|image_|input_)?size)", "16"),
    (r"(seq_len|num_patches|max_len|num_tokens|length)", "16"),
    (r".*(ratio|mult|multiplier)", "2"),
    (r"(drop|dropout|drop_path|drop_prob|attn_drop|proj_drop|p_drop|.*_rate)", "0.0"),
    (r"(eps|alpha|beta|gamma)", "0.0"),
    (r"(act|act_layer|activation|act_func|nonlinearity)(_layer|_cls)?", "_nn.ReLU"),
    (r"(norm|norm_layer|norm_cls|layer_norm)", "_nn.BatchNorm2d"),
    (r"(layer|module|fn|block|submodule|body|net|model|backbone|attn|ffn|mlp)", "_nn.Identity()"),
    (r"(modules|layers|blocks)", "[_nn.Identity()]"),
    (r"(in_channels_list|channels_list|widths|channels_in|in_channels_per_level)", "[64, 64]"),
)  # fmt: skip
_ANNOTATIONS = (
    ("Callable", "_nn.Identity"),
    ("Module", "_nn.Identity()"),
    ("bool", "False"),
    ("float", "0.5"),
    ("str", "''"),
    ("List[int]", f"[{WIDTH}]"),
    ("list[int]", f"[{WIDTH}]"),
    ("Sequence[int]", f"[{WIDTH}]"),
    ("Tuple[int, int]", "(16, 16)"),
    ("tuple[int, int]", "(16, 16)"),
)


def guess_arguments(code: str, name: str) -> list[dict[str, str]]:
    """Return candidate keyword arguments as expressions, most likely first, for a class in a file.

    Expressions may use `_nn`, which is `torch.nn`. The list is empty if a required parameter has no
    keyword.
    """
    tree = ast.parse(code)
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    function = _constructor(classes, name, set())
    if function is None:
        return [{}]
    required = list(_required(function))
    if any(parameter is None for parameter in required):
        return []
    wanted = [parameter for parameter in required if parameter is not None]
    first = {one.arg: _value(one) for one in wanted}
    lists = {k: f"[{WIDTH}, {WIDTH}]" if v == str(WIDTH) else v for k, v in first.items()}
    pairs = {
        k: f"[{v}, {v}]" if v in ("16", "4") and "head" not in k else v for k, v in first.items()
    }
    counts = {k: "[1, 1]" if v == "2" else v for k, v in lists.items()}
    found: list[dict[str, str]] = []
    for one in (first, pairs, lists, counts):
        if one not in found:
            found.append(one)
    return found


def _constructor(
    classes: dict[str, ast.ClassDef], name: str, seen: set[str]
) -> ast.FunctionDef | None:
    """Return the `__init__` of a class or of its nearest base class in the file."""
    node = classes.get(name)
    if node is None or name in seen:
        return None
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return item
    for base in node.bases:
        last = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
        found = _constructor(classes, last, seen | {name})
        if found is not None:
            return found
    return None


def _required(function: ast.FunctionDef) -> Iterator[ast.arg | None]:
    """Yield the parameters without a default; None for one that has no keyword."""
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    for place, parameter in enumerate(positional[: len(positional) - len(given.defaults)]):
        if place:
            yield None if parameter in given.posonlyargs else parameter
    for parameter, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        if default is None:
            yield parameter


def _value(parameter: ast.arg) -> str:
    for pattern, value in _NAMES:
        if re.fullmatch(pattern, parameter.arg):
            return value
    noted = ast.unparse(parameter.annotation) if parameter.annotation else ""
    for part, value in _ANNOTATIONS:
        if part in noted:
            return value
    return str(WIDTH)
