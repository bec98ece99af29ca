"""Precision and memory format that train fastest here, measured with a network of the search."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from nngpt.protocols import TrainsInStages
from nngpt.records import Candidate, Refusal, StagedTraining
from nngpt.search.ladder import at_once
from nngpt.search.recipe import Recipe

SECONDS = 5.0
"""Seconds of a trial training."""

_FASTER = 1.05
"""Another format must train on so many times the images to be chosen."""


def choose_format(
    executor: TrainsInStages, candidate: Candidate, recipe: Recipe, images: int, seed: int
) -> tuple[Recipe, str]:
    """Return the recipe with the fastest precision and memory format, and a line with the reason.

    As many are tried at once as there are workers, so other work on the machine slows them alike.
    One that answers significantly fewer validation images correctly than the plain format is not
    chosen.

    Args:
        images: number of training images.

    Raises: ExecutionError if the sandbox itself does not work.
    """
    tried = [replace(recipe, precision=p, memory_format=m) for p, m in _formats(executor.device)]

    def train(recipe: Recipe) -> StagedTraining | Refusal:
        return executor.advance(candidate, seed, recipe.stage(images * 10**3, 0, SECONDS))

    found = list(zip(tried, at_once(executor, train, tried), strict=True))
    plain = found[0][1]
    if isinstance(plain, Refusal):
        return recipe, f"Format: {_name(recipe)}; trying it failed: {plain.reason}"
    best, most, told = recipe, _FASTER * plain.batches, list[str]()
    for other, result in found[1:]:
        if isinstance(result, Refusal):
            told.append(f"{_name(other)} failed")
            continue
        told.append(f"{_name(other)} {result.batches / plain.batches:.2f} × as fast")
        p, q = plain.accuracy, result.accuracy
        error = math.sqrt((p * (1 - p) + q * (1 - q)) / plain.total)
        if result.batches > most and q >= p - 2 * error:
            best, most = other, result.batches
    return best, f"Format: {_name(best)} ({', '.join(told)} as {_name(recipe)})"


def _formats(device: str) -> list[tuple[str, str]]:
    """Return the formats to try, the plain one first; bfloat16 where the processor has it."""
    formats = [("float32", "contiguous"), ("float32", "channels_last")]
    if device != "cpu" or "avx512_bf16" in _flags() or "amx_bf16" in _flags():
        formats += [("bfloat16", "contiguous"), ("bfloat16", "channels_last")]
    return formats


def _flags() -> set[str]:
    """Return the names of the processor's instruction sets."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def _name(recipe: Recipe) -> str:
    return f"{recipe.precision}, {recipe.memory_format}"
