"""The command `nngpt`. No import here loads torch: each command imports its parts when it runs."""

from __future__ import annotations

import errno
import logging
import math
import os
import sys
import warnings
from functools import cache
from typing import Annotated, Any, NoReturn

import typer
from typer import Option

from nngpt import __version__
from nngpt.cli import (
    corpus,
    cycle,
    data,
    dedup,
    doctor,
    experiment,
    generate,
    hpo,
    leaderboard,
    learn,
    lemur,
    models,
    networks,
    predictor,
    rag,
    search,
)
from nngpt.cli.help import tidy
from nngpt.errors import NngptError, UserError, readable, shortened

app = typer.Typer(
    name="nngpt",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A code LLM designs PyTorch networks; nngpt checks, trains and judges them, and the "
    "LLM learns from what worked.",
)
app.command("search")(search.search)
app.add_typer(cycle.app, name="cycle")
app.add_typer(experiment.app, name="experiment")
app.command("leaderboard")(leaderboard.leaderboard)
app.command("generate")(generate.generate)
app.command("evaluate")(networks.evaluate)
app.add_typer(models.app, name="models")
app.add_typer(data.app, name="data")
app.add_typer(lemur.app, name="lemur")
app.command("dedup")(dedup.dedup)
app.add_typer(corpus.app, name="corpus")
app.add_typer(learn.app, name="learn")
app.add_typer(hpo.app, name="hpo")
app.add_typer(rag.app, name="rag")
app.add_typer(predictor.app, name="predictor")
app.command("predict")(predictor.predict)
app.command("doctor")(doctor.doctor)


_VERSION = "Show the version and exit."


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nngpt {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, Option("--version", callback=_show_version, is_eager=True, help=_VERSION)
    ] = False,
) -> None:
    """Accept the options that stand before the command."""


@cache
def command_line() -> Any:
    """Return the whole command line, built once; it refuses numbers that SQLite cannot store."""
    whole = typer.main.get_command(app)
    groups: list[tuple[str, Any]] = [("", whole)]
    for path, group in groups:  # grows
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                groups.append((f"{name} ", command))
            tidy(command, f"{path}{name}")
            for parameter in command.params:
                parameter.callback = parameter.callback or _storable
    return whole


def _storable(_context: Any, _parameter: Any, value: Any) -> Any:
    """Return the value of an option. Raises: typer.BadParameter if a number cannot be stored."""
    for one in value if isinstance(value, list | tuple) else [value]:
        if isinstance(one, int | float) and not (math.isfinite(one) and abs(one) < 2**63):
            raise typer.BadParameter(f"{one} is not a number of 64 bits.")
    return value


_ENVIRONMENT = {
    *(errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.ELOOP),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENXIO),
}
"""Faults of a path that the user gave; others in an OSError that no command expected are bugs."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LONGEST_LINE = 500

_UsageError: type[Exception] = typer.BadParameter.mro()[1]
"""Click's error for a wrong command line; the copy of Click inside Typer has no public name."""


def main() -> None:
    """Run the command line; print an error as one line on stderr, without traceback."""
    # Before torch is loaded: on a loaded machine its waiting threads would spin, and the threads
    # that they wait for would get no core. A short spin costs less than waking them each time.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # Deprecations inside libraries concern developers (tests turn them into errors), not users.
    warnings.simplefilter("ignore", FutureWarning)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # lists optional kernels it lacks
    try:
        raise SystemExit(command_line()(standalone_mode=False))
    except NngptError as error:
        _fail(error.line(), error.exit_code)
    except _UsageError as error:
        _fail_usage(error)
    except OSError as error:
        if error.errno in _FULL:
            _fail(f"the disk is full ({error.filename}). Make room and repeat.")
        if error.errno not in _ENVIRONMENT:
            raise
        _fail(UserError(f"cannot be used ({error.strerror})", where=str(error.filename)).line())


def _fail_usage(error: Any) -> NoReturn:
    """Print what is wrong in the command line, or the help of a group without a command."""
    message = error.format_message()
    path = error.ctx.command_path if error.ctx else "nngpt"
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(message, err=True)
        raise SystemExit(error.exit_code)
    end = "" if message.endswith((".", "?")) else "."
    _fail(f"{message}{end} See: {path} --help", error.exit_code)


def _fail(line: str, code: int = 2) -> NoReturn:
    """Print an error on one line, without control characters and not too long; exit."""
    text = readable(" ".join(f"nngpt: {line}".split()))
    print(shortened(text, _LONGEST_LINE), file=sys.stderr)
    raise SystemExit(code) from None


if __name__ == "__main__":
    main()
