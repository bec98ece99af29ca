"""Convert a network's run on a device between LEMUR's `stat/run` file and table `run`."""

from __future__ import annotations

import json
from typing import Any

from nngpt.store import lemur_tables as lemur
from nngpt.store.column_types import types_of, value_or_none
from nngpt.store.lemur.records import BrokenFile, RunFile
from nngpt.store.lemur_rows import lemur_id

_ANALYTICS, _ANALYTICS_COLUMN = "device_analytics", "device_analytics_json"
_TYPES = types_of(lemur.run, frozenset({"id", "model_name", _ANALYTICS_COLUMN}))


def read_run(path: str, values: Any) -> RunFile:
    """Convert the content of LEMUR's `stat/run` file to a row of table `run`.

    Args:
        path: path relative to `stat/run`.
        values: the parsed JSON.

    Raises:
        BrokenFile: not a run of a network.
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
