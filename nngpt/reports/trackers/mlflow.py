"""Tracker `mlflow`: a run of MLflow. Needs the package mlflow, or the smaller mlflow-skinny.

MLFLOW_TRACKING_URI names the server, and MLFLOW_EXPERIMENT_NAME the experiment, as in all programs
with MLflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Metric, Param, RunTag

from nngpt.records import TrackedEvent, TrackedRun

_LONGEST, _MOST = 500, 100
"""What MLflow takes: characters of a parameter, parameters (or metrics) of one request."""


def create(run: TrackedRun) -> MLflow:
    """Return the tracker; a run that resumes continues its run of MLflow."""
    return MLflow(run)


class MLflow:
    """Logs to one run of MLflow, whose id is the key."""

    def __init__(self, run: TrackedRun) -> None:
        self._client, self._running = mlflow.MlflowClient(), False
        if run.key is not None:
            self.key = run.key
            return
        with mlflow.start_run(run_name=f"{run.name}-{run.number}") as started:
            self.key = started.info.run_id
        settings = list(_flat(run.settings))
        for start in range(0, len(settings), _MOST):
            self._client.log_batch(self.key, params=settings[start : start + _MOST])

    def log(self, events: Sequence[TrackedEvent]) -> None:
        """Log the figures of events as metrics, and the facts of candidates as tags."""
        if not self._running:
            self._client.update_run(self.key, "RUNNING")
            self._running = True
        for event in events:
            at = int(datetime.fromisoformat(event.at).timestamp() * 1000)
            head = f"{event.kind}/"
            metrics = [Metric(head + k, v, at, event.number) for k, v in event.figures.items()]
            curve = f"curves/{event.kind}_{event.number}"
            metrics += [Metric(curve, value, at, n) for n, value in enumerate(event.curve, 1)]
            facts = "; ".join(f"{name}: {value}" for name, value in event.facts.items() if value)
            tags = [RunTag(f"{event.kind}_{event.number}", facts)] if facts else []
            for start in range(0, len(metrics), _MOST):
                self._client.log_batch(self.key, metrics[start : start + _MOST], tags=tags)

    def add_artefact(self, name: str, path: Path) -> None:
        """Upload a file or folder to the artifacts of the run."""
        if path.is_dir():
            self._client.log_artifacts(self.key, str(path), name)
        else:
            self._client.log_artifact(self.key, str(path), name)

    def close(self, finished: bool | None) -> None:
        """Mark the run as finished, or as interrupted."""
        if finished is not None:
            self._client.set_terminated(self.key, "FINISHED" if finished else "KILLED")


def _flat(settings: Mapping[str, Any], head: str = "") -> Iterator[Param]:
    """Yield a configuration's settings as parameters, such as `task.dataset`."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{head}{key}.")
        else:
            yield Param(f"{head}{key}", str(value)[:_LONGEST])
