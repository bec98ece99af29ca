"""The command that makes a search again, for the card of its result."""

from __future__ import annotations

import shlex
from typing import Any

from nngpt import config
from nngpt.config import Config
from nngpt.search import llm_settings
from nngpt.search.front import ACCURACY
from nngpt.search.request import OUT, Request, make_request

_OPTIONS = {
    "seed": "--seed",
    "evaluation.device": "--device",
    "evaluation.sandbox": "--sandbox",
    "task.max_latency_ms": "--max-latency-ms",
    "task.max_parameters": "--max-parameters",
}
"""Options by the setting that they change; `--set` changes all others."""


def command_of(request: Request) -> str:
    """Return the command that makes a search again, with all settings that change its result."""
    plain = config.load(None, config.as_overrides({"task.dataset": request.data}))
    usual = make_request(plain, request.minutes, OUT, objectives=request.objectives)
    words = ["nngpt", "search", request.data, "--minutes", f"{request.minutes:g}"]
    options = {
        "--out": request.out if request.out != usual.out else None,
        "--folder": request.folder if request.folder != usual.folder else None,
        "--candidates": request.candidates,
        "--designs": request.designs,
    }
    for option, given in options.items():
        if given is not None:
            words += [option, str(given)]
    for objective in request.objectives:
        words += ["--objective", objective] if objective != ACCURACY else []
    for key, _, value in config.differing(
        _settings(usual.base), _settings(request.asked or request.base)
    ):
        if value is not None and key in _OPTIONS:
            words += [_OPTIONS[key], str(value)]
        elif value is not None or ".options." not in key:  # else a key of another plug-in
            words += ["--set", *config.as_overrides({key: value})]
    for override in config.as_overrides(llm_settings.own_keys(request.base)):
        words += ["--set", override]
    return shlex.join([*words, "--fresh"])


def _settings(base: Config) -> dict[str, Any]:
    """Return the settings that a search reads."""
    return base.model_dump(mode="json", include={"seed", "task", "evaluation"})
