"""Runs of networks on devices: a file of `stat/run` as a row of LEMUR's table `run`, and back."""

from __future__ import annotations

import json
from typing import Any

from nngpt.store import lemur_tables as lemur
from nngpt.store.lemur.records import Broken, RunFile
from nngpt.store.lemur.value_types import fitting, types_of
from nngpt.store.lemur_rows import lemur_id

_ANALYTICS, _ANALYTICS_COLUMN = "device_analytics", "device_analytics_json"
_TYPES = types_of(lemur.run, frozenset({"id", "model_name", _ANALYTICS_COLUMN}))


def read_run(path: str, values: Any) -> RunFile:
    """A file of runs as a row.

    Args:
        path: below `stat/run`.
        values: what its JSON says.

    Raises:
        Broken: it is no run of a network.
    """
    if not isinstance(values, dict):
        raise Broken("is not an object")
    parts = path.split("/")
    if len(parts) != 2:
        raise Broken("is not in a folder named task_network")
    network = values.get("model_name") or parts[0].split("_")[-1]
    if not isinstance(network, str):
        raise Broken("the model_name is no text")
    given = [values.get(key) for key in ("device_type", "os_version", "duration")]
    analytics = values.get(_ANALYTICS)
    row = {
        "id": lemur_id([*parts, network, *given]),
        "model_name": network,
        _ANALYTICS_COLUMN: None if analytics is None else json.dumps(analytics),
        **{name: fitting(values.get(name), types) for name, types in _TYPES.items()},
    }
    record = {key: None if key == _ANALYTICS else value for key, value in values.items()}
    return RunFile(path, row, json.dumps(record))


def rebuild_run(record: str, analytics: str | None) -> str:
    """The file as LEMUR writes it, from what `read_run` gave.

    Args:
        analytics: the row's `device_analytics_json`.
    """
    values = json.loads(record)
    if analytics is not None:
        values[_ANALYTICS] = json.loads(analytics)
    return json.dumps(values, indent=2)
