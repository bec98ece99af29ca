"""Read and check Python files with a network for the predictor, without executing them."""

from __future__ import annotations

from pathlib import Path

from nngpt.errors import DataError, UserError
from nngpt.files import LARGEST_CODE, read_text
from nngpt.generation.contract.network_file import NetworkFile, faults_line
from nngpt.generation.contract.network_file import read_network as read_contract
from nngpt.prediction.code_features import defines_network
from nngpt.records import Refusal


def read_network(file: Path) -> tuple[str, tuple[str, ...]]:
    """Read a network file given to a prediction command.

    A file that is neither in the contract nor an ordinary network is predicted from as it stands,
    if it defines any.

    Returns:
        The source, and notes for the user.

    Raises: UserError if there is no network in it.
    """
    code = read_text(file, LARGEST_CODE)
    try:
        if not defines_network(code):
            hint = "Define a class Net, or a subclass of nn.Module"
            raise UserError("there is no network in it", where=str(file), hint=hint)
    except DataError as error:
        raise DataError(error.what, where=str(file)) from None
    found = read_contract(code)
    if isinstance(found, Refusal):
        return code, (f"the file is taken as it stands: {faults_line(found)}",)
    return found.code, found.notes


def read_tunable_network(
    file: Path, class_name: str | None = None, init: str | None = None
) -> NetworkFile:
    """Read a network file to predict hyperparameters for.

    Args:
        class_name, init: as for the contract's `read_network`.

    Raises: UserError with all faults of the file, or if an argument is wrong.
    """
    found = read_contract(file, class_name, init)
    if isinstance(found, Refusal):
        raise UserError(faults_line(found), where=str(file))
    return found
