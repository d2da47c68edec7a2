"""Points to an MLflow server, where `MLFLOW_TRACKING_URI` names one and MLflow is installed.

A run of ours is one run there, found again by its tag when it is gone on with. What the server has
of a curve already is not sent again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from server.export.points import Point

VARIABLE = "MLFLOW_TRACKING_URI"
TAG = "myofed.run"
MOST = 500
"""Values a request; MLflow takes 1,000."""


def is_wanted() -> bool:
    """Whether somebody asked for MLflow, and it is installed."""
    return bool(os.environ.get(VARIABLE)) and find_spec("mlflow") is not None


@dataclass
class MlflowRun:
    """Takes points for one run of ours.

    Parameters
    ----------
    client
        An `mlflow.MlflowClient`.
    """

    client: Any
    run: Path
    study: str
    identity: str
    _number: str = ""
    _waiting: list[tuple[str, Point]] = field(default_factory=list)
    _last: dict[str, int] = field(default_factory=dict)

    def take(self, point: Point) -> None:
        """Keep a point until there is something to send, unless the server has it."""
        name = f"{point.curve}/{point.name}"
        if point.step > self._known(name):
            self._last[name] = point.step
            self._waiting.append((name, point))

    def flush(self) -> None:
        """Send what is waiting."""
        from mlflow.entities import Metric

        while self._waiting:
            batch = self._waiting[:MOST]
            metrics = [
                Metric(name, one.value, int(1000 * one.time), one.step) for name, one in batch
            ]
            self.client.log_batch(self._run(), metrics=metrics)
            del self._waiting[:MOST]

    def close(self) -> None:
        """Say how the run ended."""
        if self._number:
            finished = (self.run / "results.json").exists()
            self.client.set_terminated(self._number, "FINISHED" if finished else "KILLED")

    def _known(self, name: str) -> int:
        """Give the last step of a curve that the server has; -1 for none."""
        if name not in self._last:
            held = self.client.get_metric_history(self._run(), name)
            self._last[name] = max((one.step for one in held), default=-1)
        return self._last[name]

    def _run(self) -> str:
        if not self._number:
            there = self.client.get_experiment_by_name(self.study)
            experiment = (
                self.client.create_experiment(self.study) if there is None else there.experiment_id
            )
            found = self.client.search_runs([experiment], f"tags.`{TAG}` = '{self.identity}'")
            one = found[0] if found else self.client.create_run(
                experiment, tags={TAG: self.identity}, run_name=self.identity
            )  # fmt: skip
            self._number = one.info.run_id
            if found:
                self.client.update_run(self._number, "RUNNING")
        return self._number


def mlflow_run(run: Path, study: str, identity: str) -> MlflowRun:
    """Open the run at the server that the environment names."""
    from mlflow import MlflowClient

    return MlflowRun(MlflowClient(), run, study, identity)
