"""Check the command-line values of `nngpt dedup` and build `DedupSettings` from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from nngpt import plugins
from nngpt.errors import UserError, nearest
from nngpt.novelty.dedup.collection import DedupSettings

Share = TypeVar("Share", float, float | None)


def build_settings(
    levels: str,
    threshold: float,
    level_thresholds: Sequence[str] = (),
    family_thresholds: Sequence[str] = (),
    per_family: int | None = None,
    shingle: int = 10,
) -> DedupSettings:
    """Check the options of a deduplication and return its settings. Raises: UserError.

    Args:
        levels: level names separated by commas.
        level_thresholds: `LEVEL=VALUE` each.
        family_thresholds: `FAMILY=VALUE` each.

    Raises:
        UserError: a value is out of range, or a threshold belongs to a level that is not used.
        PluginError: a level does not exist.
    """
    names = tuple(name.strip() for name in levels.split(",") if name.strip())
    if not names:
        raise UserError("no level is given", where="--levels", hint="Example: exact,lexical")
    if len(set(names)) < len(names):
        raise UserError(f"{levels!r} lists a level twice", where="--levels")
    for name in names:
        plugins.load("dedup level", name)
    by_level = _thresholds(level_thresholds, "--level-threshold")
    for name in by_level:
        if name not in names:
            hint = nearest(name, names)
            raise UserError(f"{name!r} is not in --levels", where="--level-threshold", hint=hint)
    _at_least_one(per_family, "--per-family")
    _at_least_one(shingle, "--shingle")
    return DedupSettings(
        levels=names,
        threshold=check_share(threshold, "--threshold"),
        thresholds=by_level,
        family_thresholds=_thresholds(family_thresholds, "--family-threshold"),
        shingle=shingle,
        per_family=per_family,
    )


def check_families(chosen: DedupSettings, families: Iterable[str]) -> None:
    """Check that the collection has every family of --family-threshold. Raises: UserError."""
    known = set(families)
    for name in chosen.family_thresholds:
        if name not in known:
            hint = nearest(name, known)
            hint = hint if len(hint) < 200 else ""
            raise UserError(f"no network of family {name!r}", where="--family-threshold", hint=hint)


def check_share(value: Share, option: str) -> Share:
    """Return a dedup option's value if it is from 0 to 1, or None. Raises: UserError."""
    if value is not None and not 0 <= value <= 1:
        raise UserError(f"{value} is not from 0 to 1", where=option)
    return value


def _thresholds(given: Sequence[str], option: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in given:
        name, _, value = (part.strip() for part in text.rpartition("="))
        try:
            number = float(value)
        except ValueError:
            name = ""
        if not name:
            example = "FractalNet=0.97" if "family" in option else "lexical=0.95"
            hint = f"Example: {option} {example}"
            raise UserError(f"{text!r} is not NAME=VALUE", where=option, hint=hint)
        if name in found:
            raise UserError(f"{name!r} is given twice", where=option)
        found[name] = check_share(number, option)
    return found


def _at_least_one(value: int | None, option: str) -> None:
    if value is not None and value < 1:
        raise UserError(f"{value} is smaller than 1", where=option)
