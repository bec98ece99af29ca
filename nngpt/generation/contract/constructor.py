"""Arguments with which the contract's `Net` builds an ordinary network: recognised, or given.

Arguments are Python expressions over `in_shape`, `out_shape`, `prm` and `device`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce

from nngpt.errors import UserError, nearest, shortened
from nngpt.generation.contract.interface import lineage

DROPOUT = "prm['dropout']"
MEANINGS: Mapping[str, str] = {
    "classes": "out_shape[0]",
    "channels": "in_shape[1]",
    "height": "in_shape[2]",
    "width": "in_shape[3]",
    "size": "in_shape[2] if in_shape[2] == in_shape[3] else tuple(in_shape[2:])",
    "features": "in_shape[1] * in_shape[2] * in_shape[3]",
    "shape": "tuple(in_shape[1:])",
    "dropout": DROPOUT,
    "device": "device",
}
"""Expressions of a constructor's argument by what it means; `--init` writes them as `{classes}`."""

_NAMES: Mapping[str, str] = {
    "classes": """
        num_classes n_classes nclasses num_class n_class nb_classes classes number_of_classes
        class_count class_num out_classes output_classes num_labels n_labels num_outputs
        n_outputs num_out n_out output_dim out_dim output_size out_size out_features
        output_features
    """,
    "channels": """
        in_channels in_chans in_ch input_channels num_input_channels n_input_channels in_channel
        input_channel img_channels image_channels num_channels n_channels channels_in in_c c_in
        ch_in channels
    """,
    "size": "image_size img_size input_resolution size input_size",
    "height": "height image_height img_height input_height",
    "width": "width image_width img_width input_width",
    "features": """
        in_features input_features input_dim in_dim num_inputs n_inputs n_in input_size
        num_features n_features
    """,
    "shape": "input_shape image_shape img_shape",
    "dropout": """
        dropout dropout_rate dropout_prob dropout_p drop_rate drop_prob drop_p p_dropout p_drop drop
    """,
    "device": "device",
}
"""Names of parameters by meaning, the clearest first; one parameter is taken for each meaning."""

_VAGUE = frozenset(
    {
        *("channels", "num_channels", "n_channels", "size", "input_size"),
        *("num_features", "n_features"),
    }
)
"""Names that mean something else if the parameter has a default, such as the width of layers."""

_LARGEST_DROPOUT = 0.5
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Parameter:
    """A parameter of a constructor; `default` is None if it must be given."""

    name: str
    default: ast.expr | None


@dataclass(frozen=True)
class Signature:
    """The parameters that a constructor takes by name.

    Attributes:
        open: True if it takes any others too: it has `**kwargs`, or is not in the file.
    """

    parameters: tuple[Parameter, ...] = ()
    open: bool = False

    def passing_on(self, inner: Signature) -> Signature:
        """Return the signature with what its `**kwargs` may pass on: optional parameters."""
        if not self.open:
            return self
        names = {parameter.name for parameter in self.parameters}
        more = (p for p in inner.parameters if p.default is not None and p.name not in names)
        return Signature((*self.parameters, *more), inner.open)


def signature(tree: ast.Module, target: ast.ClassDef | ast.FunctionDef) -> Signature:
    """Return what builds a network: a function's signature, or that of a class's `__init__`."""
    if isinstance(target, ast.FunctionDef):
        return _signature(target, skipped=0)
    owners, outside = lineage(tree, target)
    constructors = [
        _signature(node, skipped=1)
        for owner in owners
        for node in owner.body
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    ]
    return reduce(Signature.passing_on, constructors) if constructors else Signature(open=outside)


def _signature(function: ast.FunctionDef, skipped: int) -> Signature:
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    defaults = [*[None] * (len(positional) - len(given.defaults)), *given.defaults]
    pairs = [*zip(positional, defaults, strict=True)][skipped:]
    pairs += zip(given.kwonlyargs, given.kw_defaults, strict=True)
    found = tuple(Parameter(argument.arg, default) for argument, default in pairs)
    return Signature(found, given.kwarg is not None)


def arguments(known: Signature, given: Mapping[str, str]) -> dict[str, str]:
    """Return the constructor's arguments by parameter: `given` ones, and all that are recognised.

    Raises: UserError if `--init` gives a parameter that the constructor does not have.
    """
    names = [parameter.name for parameter in known.parameters]
    for name in given:
        if name not in names and not known.open:
            text = f"the constructor has no parameter {shortened(name, 60)!r}"
            raise UserError(text, where="--init", hint=nearest(name, names))
    return {**given, **dict(_recognised(known, given))}


def _recognised(known: Signature, given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield parameters whose names tell what they mean, each with its expression."""
    free = {p.name.lower(): p for p in known.parameters if p.name not in given}
    found: set[str] = set()
    for meaning, names in _NAMES.items():
        for name in names.split():
            parameter = free.get(name)
            if parameter is None or not _is_meant(meaning, parameter, free, found):
                continue
            found.add(meaning)
            yield parameter.name, MEANINGS[meaning]
            del free[name]
            break


def _is_meant(
    meaning: str, parameter: Parameter, free: Mapping[str, Parameter], found: set[str]
) -> bool:
    """Return True if a parameter with a meaning's name has this meaning."""
    name, default = parameter.name.lower(), parameter.default
    if meaning == "dropout":
        return default is None or own_dropout(parameter) is not None
    if meaning == "width" and "height" not in found:
        return False  # alone, it is the width of the layers
    if meaning == "height" and not any(other in free for other in _NAMES["width"].split()):
        return False
    if name == "input_size" and meaning == "size" and "channels" not in found:
        return False  # of a perceptron, the number of features
    if meaning == "device" or not isinstance(default, ast.Constant) or default.value is None:
        return True
    if isinstance(default.value, str | bool):
        return False
    return name not in _VAGUE or (meaning == "channels" and default.value in (1, 3))


def own_dropout(parameter: Parameter) -> float | None:
    """Return a constructor's default of its dropout, None without one within LEMUR's range."""
    value = parameter.default.value if isinstance(parameter.default, ast.Constant) else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value <= _LARGEST_DROPOUT else None


def read_init(text: str) -> dict[str, str]:
    """Read `--init`, the constructor's arguments: `num_classes={classes}, depth=3`.

    Raises: UserError if it is not a list of NAME=VALUE, or a placeholder is unknown.
    """
    where, example = "--init", "Example: --init 'num_classes={classes}, in_ch={channels}'"
    for word in _PLACEHOLDER.findall(text):
        if word not in MEANINGS:
            text = f"unknown placeholder {{{shortened(word, 60)}}}"
            raise UserError(text, where=where, hint=nearest(word, MEANINGS))
    filled = _PLACEHOLDER.sub(lambda match: f"({MEANINGS[match[1]]})", text)
    try:
        call = ast.parse(f"_({filled})", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"is not valid Python ({error})", where=where, hint=example) from None
    plain = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args
    keywords = call.keywords if plain and isinstance(call, ast.Call) else []
    found = {word.arg: ast.unparse(word.value) for word in keywords if word.arg is not None}
    if not found or len(found) < len(keywords):
        raise UserError("is not a list of NAME=VALUE", where=where, hint=example)
    return found
