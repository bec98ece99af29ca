"""Read and check Python files with a network for the predictor, without executing them."""

from __future__ import annotations

import ast
from pathlib import Path

from nngpt.errors import DataError, UserError
from nngpt.files import LARGEST_CODE, read_text
from nngpt.generation.contract.interface import read_supported
from nngpt.prediction.code_features import defines_network
from nngpt.records import Refusal


def read_network(file: Path) -> str:
    """Read a network file given to a prediction command; return its source. Raises: UserError."""
    code = read_text(file, LARGEST_CODE)
    try:
        if defines_network(code):
            return code
    except DataError as error:
        raise DataError(error.what, where=str(file)) from None
    hint = "Define a class Net, or a subclass of nn.Module"
    raise UserError("there is no network in it", where=str(file), hint=hint)


def read_tunable_network(file: Path) -> tuple[str, frozenset[str]]:
    """Read a network file to predict hyperparameters for; return source and their names."""
    code = read_text(file, LARGEST_CODE)
    try:
        supported = read_supported(ast.parse(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"is not valid Python ({error})", where=str(file)) from None
    if isinstance(supported, Refusal):
        raise UserError(supported.reason, where=str(file))
    return code, supported
