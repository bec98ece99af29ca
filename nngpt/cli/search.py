"""`nngpt search`: from one's own images to a trained network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from nngpt.cli.inputs import check_folder, load_config
from nngpt.cli.options import AsJson, Overrides, Sandbox, Seed
from nngpt.cli.output import console, print_result
from nngpt.cli.stopping import stoppable

_Data = Annotated[
    str,
    Argument(metavar="DATA", help="Folder of images with one folder per class, data set, or YAML."),
]
_Minutes = Annotated[float, Option(help="Time of the whole search, in minutes.", min=0.1, max=1e5)]
_Out = Annotated[Path, Option(help="Folder of the result; an older result is replaced.")]
_Folder = Annotated[
    Path | None,
    Option(help="Where the search keeps its work (default: runs/search-DATA).", show_default=False),
]
_MaxParameters = Annotated[
    float | None, Option(help="Largest number of parameters, such as 1e6.", min=1)
]
_MaxLatency = Annotated[
    float | None, Option(help="Longest time of one image's forward pass, in ms.", min=1e-3)
]
_Device = Annotated[str | None, Option(help="auto, cpu or cuda.", metavar="DEVICE")]
_Finish = Annotated[bool, Option("--finish", help="Write the best network so far; train no more.")]
_Fresh = Annotated[
    bool, Option("--fresh", help="Start a new search; the weights of the old one are deleted.")
]
_Candidates = Annotated[
    int | None,
    Option(help="Networks of the portfolio to try (default: by the time).", min=1, max=100),
]
_Designs = Annotated[
    int | None,
    Option(
        help="Networks for the LLM to design, 0 for none (default: by the time).", min=0, max=99
    ),
]
_Objectives = Annotated[
    list[str],
    Option(
        "--objective",
        help="accuracy, parameters, latency or macs; repeatable: with several, a Pareto front.",
        metavar="NAME",
    ),
]


def search(
    data: _Data,
    minutes: _Minutes = 60.0,
    out: _Out = Path("best"),
    folder: _Folder = None,
    objectives: _Objectives = [],  # noqa: B006 (typer copies it)
    max_parameters: _MaxParameters = None,
    max_latency_ms: _MaxLatency = None,
    seed: Seed = None,
    device: _Device = None,
    sandbox: Sandbox = None,
    candidates: _Candidates = None,
    designs: _Designs = None,
    finish: _Finish = False,
    fresh: _Fresh = False,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    as_json: AsJson = False,
) -> None:
    """Find and train a good network for your images; the same command resumes."""
    from nngpt.reports.network_folder.contents import judged_95
    from nngpt.search.progress import SearchProgress
    from nngpt.search.request import make_request
    from nngpt.search.search import search as run

    given = {
        "task.dataset": None if data.endswith((".yaml", ".yml")) else data,
        "task.max_parameters": int(max_parameters) if max_parameters else None,
        "task.max_latency_ms": max_latency_ms,
        "evaluation.device": device,
    }
    config = None if given["task.dataset"] else data
    base = load_config(config, overrides, seed=seed, sandbox=sandbox, **given)
    request = make_request(base, minutes, out, folder, candidates, designs, objectives)
    check_folder(request.folder, "--folder")
    check_folder(out, "--out")
    with stoppable(), SearchProgress(console(stderr=as_json)) as progress:
        found = run(request, progress, finish, fresh)
    lines = [f"{out}: {found.title}, {judged_95(*found.test)} test images right."]
    for one in found.front[1:]:
        right, size = judged_95(*one["test"]), one["claimed_parameters"]
        lines.append(f"{out}/{one['folder']}: {right} right, {size:,} parameters.")
    lines.append(f"Use it: python {out}/predict.py IMAGE")
    text = "\n".join(lines)
    print_result(as_json, {"out": str(out), "network": found.title, **found.facts}, text)
