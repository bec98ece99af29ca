"""`nngpt generate`: one prompt, some networks, on standard output or in a folder."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from nngpt.cli.options import AsJson, Overrides, Seed, console, load_config, make_folder, print_json


def generate(
    config: Annotated[str, typer.Argument(metavar="[CONFIG]")] = "smoke-mnist",
    count: Annotated[int, typer.Option("--count", "-n", help="How many.", min=1)] = 4,
    out: Annotated[Path | None, typer.Option(help="Write the valid ones to this folder.")] = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Let the LLM write networks; check them against the contract, train none."""
    from contextlib import closing

    from nngpt import plugins
    from nngpt.cycle import parts as assembly
    from nngpt.generation.models import constrained
    from nngpt.records import Candidate, Sampling, derive_seed
    from nngpt.statistics import percent_of

    settings = load_config(config, overrides, seed=seed)
    log = partial(console(stderr=True).print, markup=False, soft_wrap=True)
    reader = assembly.make_reader(settings, assembly.data_source(settings))
    pool = assembly.read_pool(settings, reader, log)
    adapter = assembly.starting_adapter(settings)
    if out is not None:
        make_folder(out, "--out")
    sampling = Sampling(**settings.sampling.model_dump())
    outcomes = []
    backend = settings.llm.backend
    made = plugins.create("LLM backend", backend, settings.llm, options=settings.llm.options)
    with closing(made) as llm:
        llm.use_adapter(adapter)
        if sampling.constrain:
            constrained.check(llm, reader.prompt.mode)
        log(f"{llm.facts}; {reader.prompt.mode} mode")
        ask = make_prompts(settings, reader, pool, llm, similarity).of_cycle([], log)
        for batch, start in enumerate(range(0, count, llm.batch_size)):
            size = min(llm.batch_size, count - start)
            batch_seed = derive_seed(settings.seed, "write", 1, batch)
            prompt = ask(derive_seed(settings.seed, "ask", 1, batch))
            for completion in llm.generate(prompt, size, batch_seed, sampling):
                outcomes.append((completion, reader.read_answer(completion.text, prompt)))
    valid = [c for _, c in outcomes if isinstance(c, Candidate)]
    if as_json:
        print_json([{"completion": asdict(c), "outcome": asdict(o)} for c, o in outcomes])
    for number, (_, outcome) in enumerate(outcomes, 1):
        if not isinstance(outcome, Candidate):
            log(f"network {number} refused at {outcome.stage}: {outcome.reason}")
        elif out is not None:
            file = out / f"{outcome.content_hash}.py"
            file.write_text(outcome.code, encoding="utf-8")
            log(f"network {number}: {file}")
        elif not as_json:
            typer.echo(f"# network {number}\n{outcome.code}")
    share = percent_of(len(valid), count)
    how = f"{reader.prompt.mode} mode{', settings constrained' * sampling.constrain}"
    log(f"fit the contract in {how}: {share} (not trained)")
