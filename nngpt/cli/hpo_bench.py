"""`nngpt hpo bench`: how much accuracy each engine gives away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.history import log, read_history
from nngpt.cli.hpo_llm import answering, base_of
from nngpt.cli.options import AsJson, Folder, Overrides, console, load_config, print_json
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError

if TYPE_CHECKING:
    from nngpt.config import Config
    from nngpt.prediction.hpo.bench import Ask, Part
    from nngpt.prediction.hpo.choice import Choice
    from nngpt.prediction.hpo.folds import Folds
    from nngpt.prediction.hpo.pools import Pool
    from nngpt.prediction.runs import History
    from nngpt.protocols import WritesJson


def bench(
    folder: Folder = Path("runs"),
    folds: Annotated[
        Path | None, typer.Option(help="Frozen folds; written if the file is not there.")
    ] = None,
    epochs: Annotated[
        list[int] | None, typer.Option(min=1, help="After so many epochs (default 1 and 5).")
    ] = None,
    fold: Annotated[int | None, typer.Option(min=0, help="Ask only about this fold.")] = None,
    adapter: Annotated[
        Path | None, typer.Option(help="Ask this LLM, too; it was tuned without --fold.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask about so many pools of the fold only.")
    ] = None,
    config: Annotated[str | None, typer.Option(help="Whose LLM (default: nngpt's own).")] = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    as_json: AsJson = False,
) -> None:
    """How much accuracy each engine gives away on pools of recorded trials."""
    from nngpt.prediction.hpo import bench as benchmark
    from nngpt.reports.tables.hpo import regret_table

    if fold is None and (adapter is not None or limit is not None):
        raise UserError("--adapter and --limit need --fold", hint="Give the fold it never saw")
    settings = load_config(config, overrides, **{"llm.model": base_of(adapter)})
    with stoppable("Stopped."):
        history = read_history(folder)
        frozen = _folds(history, folds)
        with _part(settings, history, fold, limit, adapter) as (part, counted):
            found = benchmark.bench(history, frozen, tuple(epochs or (1, 5)), log, part)
    if as_json:
        regrets = [asdict(one) for one in found]
        answers = {"answers": dict(counted)} if adapter is not None else {}
        print_json({"folds": frozen.sha256, "regrets": regrets, **answers})
        return
    console().print(regret_table(found, frozen.sha256))
    if adapter is not None:
        typer.echo(f"{counted['asked'] - counted['invalid']} of {counted['asked']} answers valid")


def _folds(history: History, path: Path | None) -> Folds:
    """Those of the file, or new ones, written to the file if one is named."""
    from nngpt.prediction.hpo import folds as freezing

    if path is not None and path.exists():
        return freezing.read(path)
    trials = Counter(run.network for run in history.runs)
    frozen = freezing.make({name: history.codes[name] for name in trials}, trials)
    if path is not None:
        freezing.write(frozen, path)
    return frozen


@contextmanager
def _part(
    settings: Config, history: History, fold: int | None, limit: int | None, adapter: Path | None
) -> Iterator[tuple[Part | None, Counter[str]]]:
    """Which pools are asked about, and how many answers of an LLM were none."""
    from nngpt.prediction.hpo.bench import Part

    counted: Counter[str] = Counter()
    if fold is None:
        yield None, counted
    elif adapter is None:
        yield Part(fold, limit, {}), counted
    else:
        with answering(settings, adapter) as llm:
            yield Part(fold, limit, {"llm": _asker(llm, history, counted)}), counted


def _asker(llm: WritesJson, history: History, counted: Counter[str]) -> Ask:
    from nngpt.errors import ModelError
    from nngpt.prediction.hpo.asking import by_llm, space_of

    def ask(pool: Pool) -> Choice | None:
        counted["asked"] += 1
        space = space_of(pool.runs[0])
        try:
            (choice,) = by_llm(llm, history.codes[pool.network], space, pool.place, pool.epochs)
        except ModelError:
            counted["invalid"] += 1
            return None
        return choice

    return ask
