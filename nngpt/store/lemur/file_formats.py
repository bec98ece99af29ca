"""LEMUR's files: convert trials and device runs to table rows, and rebuild the files exactly.

Both generations of statistics files are read: 2.1 lists accuracy, duration, uid and
hyperparameters; 2.2 adds `train_stat`, `metric_…`, `duration_seconds`, names, and the analysis of
layers. LEMUR's own import stores `metric_…` among the hyperparameters, which leaks the target to
models trained on them; here measurements are kept apart.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from nngpt.store import lemur_tables as lemur
from nngpt.store.column_types import fits_64_bits, types_of, value_or_none
from nngpt.store.lemur.records import BrokenFile, Experiment, RunFile, TrialRecord
from nngpt.store.lemur_rows import lemur_id

_COLUMNS = frozenset({"accuracy", "duration", "uid"})
_NAMES = ("task", "dataset", "metric", "model")
_MEASURED_TYPES = types_of(lemur.train_stat, frozenset({"stat_id"}))
_NOT_PARAMETERS = frozenset({*_COLUMNS, *_NAMES, *_MEASURED_TYPES, "train_stat", "layer_stat"})
_NOT_PARAMETERS_IF_THEY_BEGIN = ("metric_", "duration_", "best_")
_LAST = (*_NAMES, "layer_stat")
"""LEMUR 2.2 appends these keys after the sorted ones."""

_DEEPEST = 64
_MISSING: Any = object()
_ANALYTICS, _ANALYTICS_COLUMN = "device_analytics", "device_analytics_json"
_TYPES = types_of(lemur.run, frozenset({"id", "model_name", _ANALYTICS_COLUMN}))


def split_trial(
    experiment: Experiment, epoch: int, values: Any, stat_id: str | None = None
) -> TrialRecord:
    """Split a trial in LEMUR's file format into table columns.

    Args:
        values: the trial as parsed JSON.
        stat_id: the row's key if it is known, else LEMUR's (`_trial_id`).

    Raises: BrokenFile if it is not a trial, or has values that SQLite cannot store.
    """
    if not isinstance(values, dict):
        raise BrokenFile(f"a trial is {_article(values)}, not an object")
    uid, transform = values.get("uid"), values.get("transform")
    if not isinstance(uid, str) or not uid or "\0" in uid:
        raise BrokenFile("a trial has no uid of type string")
    if transform is not None and not isinstance(transform, str):
        raise BrokenFile(f"the transform is {_article(transform)}")
    parameters: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, value in values.items():
        if key not in _COLUMNS:
            if _is_parameter(key) and _is_kept(key, value):
                parameters[key] = int(value) if value.__class__ is bool else value
            if key not in parameters or value.__class__ is bool:
                extra[key] = value
                _check_depth(key, value)
    if stat_id is None:
        stat_id = _trial_id(experiment, epoch, values)
    return TrialRecord(
        stat_id,
        uid,
        transform,
        _number(values, "accuracy", extra),
        _number(values, "duration", extra),
        parameters,
        _measured(extra) if extra else None,
        extra,
    )


@lru_cache(maxsize=4096)
def _is_parameter(key: str) -> bool:
    """Return False for keys of a LEMUR trial that hold measurements or names."""
    return key not in _NOT_PARAMETERS and not key.startswith(_NOT_PARAMETERS_IF_THEY_BEGIN)


def _trial_id(experiment: Experiment, epoch: int, values: Mapping[str, Any]) -> str:
    """Return LEMUR's key of a trial in `stat`; `values` is the trial as its file lists it."""
    given = [values.get(name) for name in ("transform", "uid")]
    names = [experiment.task, experiment.dataset, experiment.metric, experiment.nn, epoch]
    return lemur_id([*given, *names, values.get("duration"), values.get("accuracy")])


def rebuild_trial(
    uid: str,
    accuracy: float | None,
    duration: float | None,
    parameters: Mapping[str, Any],
    extra: Mapping[str, Any],
    lacks: list[str],
) -> dict[str, Any]:
    """Rebuild a trial in LEMUR's file format, keys in LEMUR's order.

    Args:
        parameters: hyperparameters of the uid.
        extra: first result of `parameter_difference`.
        lacks: second result of `parameter_difference`.
    """
    values = {**parameters, "uid": uid}
    for key, value in (("accuracy", accuracy), ("duration", duration)):
        if value is not None:
            values[key] = value
    values.update(extra)
    for key in lacks:
        del values[key]
    ordered = {key: values.pop(key) for key in sorted(values) if key not in _LAST}
    return {**ordered, **{key: values[key] for key in _LAST if key in values}}


def parameter_difference(
    trial: TrialRecord, parameters: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return how a trial in LEMUR's format differs from the stored parameters of its uid.

    Returns:
        Keys to set (replacing those of the rows), and hyperparameters that the trial lacks.
    """
    own = trial.parameters
    changed = {k: v for k, v in own.items() if not identical(v, parameters.get(k, _MISSING))}
    lacks = [key for key in parameters if key not in own and key not in trial.extra]
    return {**changed, **trial.extra}, lacks


def identical(one: Any, other: Any) -> bool:
    """Return True if two values in the trial format are equal and of one type: 1 is not 1.0."""
    return one is other or (one.__class__ is other.__class__ and bool(one == other))


def _is_kept(key: str, value: Any) -> bool:
    """Return True if SQLite returns the value unchanged (booleans as 0 or 1)."""
    kind = value.__class__
    if kind is float:
        # SQLite turns NaN into NULL and -0.0 into 0.0.
        return math.isfinite(value) and not _is_negative_zero(value)
    if kind is int and not fits_64_bits(value):
        raise BrokenFile(f"{key} is an integer of more than 64 bits")
    return kind in (int, str, bool)


def _number(values: Mapping[str, Any], key: str, extra: dict[str, Any]) -> float | None:
    """Return the number as its column stores it; put what the column cannot hold into `extra`."""
    value = values.get(key, _MISSING)
    kind = value.__class__
    if value is _MISSING:
        if key == "accuracy":
            raise BrokenFile("a trial has no accuracy")
        return None
    if value is not None and kind not in (int, float):
        raise BrokenFile(f"the {key} is {_article(value)}, not a number")
    if kind is int and not fits_64_bits(value):
        raise BrokenFile(f"the {key} is an integer of more than 64 bits")
    stored = _stored(key, value)
    if value is None or not identical(stored, value) or _is_negative_zero(value):
        extra[key] = value
    return stored


def _stored(key: str, value: float | None) -> float | None:
    """Return the number as SQLite returns it from a column of its own."""
    if value is None or not math.isfinite(value):
        return None
    if key == "accuracy":
        return float(value)
    return int(value) if value == int(value) else value


def _is_negative_zero(value: float | None) -> bool:
    return value == 0 and math.copysign(1, value) < 0


def _measured(extra: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the row of `train_stat`, read from the object of that name or the trial itself."""
    nested = extra.get("train_stat")
    given = {**extra, **nested} if isinstance(nested, dict) else extra
    row = {key: value_or_none(given.get(key), types) for key, types in _MEASURED_TYPES.items()}
    return row if nested or any(value is not None for value in row.values()) else None


def _check_depth(key: str, value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_DEEPEST):
        inner = (v.values() if isinstance(v, dict) else v for v in level)
        level = [v for values in inner for v in values if isinstance(v, dict | list)]
        if not level:
            return
    raise BrokenFile(f"{key} is nested more than {_DEEPEST} levels deep")


def _article(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return names.get(value.__class__, "null" if value is None else "a number")


def read_run(path: str, values: Any) -> RunFile:
    """Convert the content of LEMUR's `stat/run` file to a row of table `run`.

    Args:
        path: path relative to `stat/run`.
        values: the parsed JSON.

    Raises: BrokenFile if it is not a run of a network.
    """
    if not isinstance(values, dict):
        raise BrokenFile("is not an object")
    parts = path.split("/")
    if len(parts) != 2:
        raise BrokenFile("is not in a folder named task_network")
    network = values.get("model_name") or parts[0].split("_")[-1]
    if not isinstance(network, str):
        raise BrokenFile("the model_name is not a string")
    given = [values.get(key) for key in ("device_type", "os_version", "duration")]
    analytics = values.get(_ANALYTICS)
    row = {
        "id": lemur_id([*parts, network, *given]),
        "model_name": network,
        _ANALYTICS_COLUMN: None if analytics is None else json.dumps(analytics),
        **{name: value_or_none(values.get(name), types) for name, types in _TYPES.items()},
    }
    record = {key: None if key == _ANALYTICS else value for key, value in values.items()}
    return RunFile(path, row, json.dumps(record))


def rebuild_run(record: str, analytics: str | None) -> str:
    """Rebuild a `stat/run` file of a device run as LEMUR writes it, from its row.

    Args:
        analytics: the row's `device_analytics_json`.
    """
    values = json.loads(record)
    if analytics is not None:
        values[_ANALYTICS] = json.loads(analytics)
    return json.dumps(values, indent=2)
