"""`nngpt learn`: train an adapter on corpora (sft) or on rewards (rl), outside a run."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli import learn_compare, learn_prefer
from nngpt.cli.inputs import check_folder, load_config, make_folder
from nngpt.cli.options import AsJson, ConfigName, Fresh, Overrides, Sandbox, Seed, StartingAdapter
from nngpt.cli.output import console, print_result
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError

if TYPE_CHECKING:
    from nngpt.config import Config
    from nngpt.finetuning.learners.sft import SFTJob
    from nngpt.records import Adapter, TrainingPair
    from nngpt.reports.progress import TuningProgress

app = typer.Typer(no_args_is_help=True, help="Tune the LLM, and compare tuned models.")

Out = Annotated[Path, typer.Option(help="Folder in which the adapter's folder is created.")]
Name = Annotated[str, typer.Option(help="Name of the adapter.")]
From = Annotated[
    str | None,
    typer.Option(help="Configuration that supplies the settings (default: nngpt's own)."),
]
ADAPTERS = Path("runs/adapters")


@app.command()
def sft(
    corpus: Annotated[list[Path], typer.Option(help="JSONL file of training pairs; repeatable.")],
    dev: Annotated[list[Path], typer.Option(help="JSONL file of held-out pairs; repeatable.")] = [],  # noqa: B006 (typer copies it)
    config: From = None,
    base: Annotated[
        str | None, typer.Option(help="Base model (default: the adapter's or configuration's).")
    ] = None,
    from_adapter: Annotated[
        Path | None, typer.Option(help="Adapter to continue from: its folder or its name.")
    ] = None,
    out: Out = ADAPTERS,
    name: Name = "sft",
    seed: Seed = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    as_json: AsJson = False,
) -> None:
    """Fine-tune the LLM on training pairs (a LoRA adapter); the same command resumes."""
    from nngpt.finetuning.learners.sft import SFTJob
    from nngpt.generation.models.adapters import find_adapter
    from nngpt.reports.progress import TuningProgress

    check_name(name)
    with stoppable(), TuningProgress(console(stderr=as_json)) as progress:
        parent = None if from_adapter is None else find_adapter(from_adapter)
        model = base or (parent.base if parent else None)
        start = {"learning.start": "last"} if parent else {}
        settings = load_config(config, overrides, seed=seed, **{"llm.model": model, **start})
        pairs, held_out = _pairs(corpus, "--corpus"), _pairs(dev, "--dev")
        check_folder(out, "--out")
        job = SFTJob(pairs, name, out, parent, settings.seed, held_out)
        adapter = train_adapter(settings, job, progress)
    print_adapter(adapter, as_json, f"Use it: --set llm.adapter={adapter.path}")


app.command("compare")(learn_compare.compare)


@app.command()
def rl(
    config: ConfigName,
    steps: Annotated[int | None, typer.Option(help="Total number of steps.", min=1)] = None,
    from_adapter: StartingAdapter = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the training (default: runs/rl/NAME).")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the adapter (default: the configuration's).")
    ] = None,
    seed: Seed = None,
    sandbox: Sandbox = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> None:
    """Train an adapter with GRPO, rewarded for networks that train; the same command resumes."""
    adapter = str(from_adapter) if from_adapter else None
    given = {"rl.steps": steps, "llm.adapter": adapter, "name": name}
    settings = load_config(config, overrides, seed=seed, sandbox=sandbox, **given)
    folder = out or settings.folder / "rl" / settings.name
    with stoppable():
        from nngpt.cycle.rl_training import check_rl, train_rl
        from nngpt.reports.progress import RLProgress

        check_rl(settings)
        make_folder(folder, "--out")
        with RLProgress(console(stderr=as_json), settings.rl.steps) as shown:
            made = train_rl(settings, folder, fresh, shown)
        _print_trends(folder, made, as_json)


app.command("prefer")(learn_prefer.prefer)


def check_name(name: str) -> None:
    """Check that --name is a possible name of an adapter. Raises: UserError."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        hint = "Use letters, digits, dots, hyphens and underscores."
        raise UserError(f"{name!r} is not a plain name", where="--name", hint=hint)


def _pairs(files: list[Path], option: str) -> list[TrainingPair]:
    from nngpt.generation.pairs import chat_pairs

    return [pair for file in files for pair in chat_pairs(file, option)]


def train_adapter(settings: Config, job: SFTJob, progress: TuningProgress) -> Adapter:
    """Train and write the adapter of `nngpt learn sft` or `hpo tune` on the job's pairs."""
    from nngpt.finetuning.learners.sft import LoraLearner
    from nngpt.generation.llm.transformers import create

    llm = create(settings.llm)
    learner = LoraLearner(settings, llm)
    progress.note(f"{llm.facts}; {learner.facts}")
    return learner.tune(job, progress.point, progress.note)


def print_adapter(adapter: Adapter, as_json: bool, usage: str) -> None:
    """Print what an adapter was trained on, its losses, and how to use it."""
    from nngpt.finetuning.sft.curve import read_curve

    found = read_curve(Path(adapter.path))
    held_out = [p["held_out"] for p in found["curve"] if p["held_out"] is not None]
    read = found["curve"][-1]["read"]
    facts = {key: value for key, value in found.items() if key != "curve"}
    lines = [
        f"{adapter.pairs:,} pairs ({found['pairs_too_long']:,} too long), "
        f"{adapter.tokens:,} answer tokens in {adapter.seconds:,.0f} s "
        f"({adapter.tokens / adapter.seconds:,.0f} a second; "
        f"{read / adapter.seconds:,.0f} with prompts)",
        f"loss {adapter.loss_first:.3f} → {adapter.loss_last:.3f}",
    ]
    if held_out:
        lines.append(f"held-out loss {held_out[0]:.4f} → {held_out[-1]:.4f}")
    facts |= {**asdict(adapter), "held_out": held_out, "tokens_read": read}
    print_result(as_json, facts, *lines, usage)


def _print_trends(folder: Path, adapter: Adapter, as_json: bool) -> None:
    from nngpt.finetuning.rl.journal import Journal
    from nngpt.reports.tables.rl import summary_json, totals_line, trends_table

    steps = Journal(folder).steps
    made = {"adapter": adapter.name, "path": adapter.path, "parent": adapter.parent}
    print_result(
        as_json,
        {**made, "folder": str(folder), **summary_json(steps)},
        trends_table(steps),
        totals_line(steps),
        f"Adapter {adapter.name}: --set llm.adapter={adapter.path}",
    )
