"""The runs as Prometheus metrics: at each scrape what the snapshots say, nothing in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, get_args

from server.dashboard.runs import Runs
from server.dashboard.snapshot import RunState, SiteState, Snapshot

if TYPE_CHECKING:
    from prometheus_client.core import Metric

SHOWN_RUNS = 5
"""The latest runs, which are told of: an old one says the same for ever."""


def metrics_of(runs: Runs) -> tuple[bytes, str]:
    """Give the metrics in Prometheus' text format, and the name of that format."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    shown = [one.look() for one in map(runs.find, runs.identities()[:SHOWN_RUNS]) if one]

    class Collected:
        """Gives the families at a scrape."""

        def collect(self) -> Iterator[Metric]:
            return families(shown)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected())
    return generate_latest(registry), CONTENT_TYPE_LATEST


def families(shown: list[Snapshot]) -> Iterator[Metric]:
    """Give all families of metrics of these runs."""
    yield from _of_runs(shown)
    yield from _of_training(shown)
    yield from _of_sites(shown)


def _of_runs(shown: list[Snapshot]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    labels = ["run", "study"]
    state = GaugeMetricFamily(
        "myofed_run_state", "1 for the state that the run is in", labels=[*labels, "state"]
    )
    progress = GaugeMetricFamily(
        "myofed_run_progress_ratio", "Share of the rounds of training that are done", labels=labels
    )
    last = GaugeMetricFamily(
        "myofed_run_last_event_timestamp_seconds", "When the last event was", labels=labels
    )
    messages = CounterMetricFamily(
        "myofed_run_questions", "Questions that were settled", labels=labels
    )
    failures = GaugeMetricFamily(
        "myofed_run_open_failures", "Failures that still matter", labels=labels
    )
    seconds = CounterMetricFamily(
        "myofed_stage_seconds", "Seconds of the stages that ended", labels=["run", "stage"]
    )
    looks = CounterMetricFamily(
        "myofed_external_looks", "Looks at an external site", labels=["run", "site"]
    )
    epsilon = GaugeMetricFamily(
        "myofed_privacy_epsilon", "Of a training patient, by kind", labels=["run", "kind"]
    )
    for one in shown:
        own = [one.identity, one.study]
        for name in get_args(RunState):
            state.add_metric([*own, name], float(one.state == name))
        if one.progress is not None:
            progress.add_metric(own, one.progress)
        if one.last_event is not None:
            last.add_metric(own, one.last_event)
        messages.add_metric(own, one.messages)
        failures.add_metric(own, sum(not failure.over for failure in one.failures))
        for stage in one.stages:
            seconds.add_metric([one.identity, stage.name], stage.seconds)
        for site, many in one.looks.items():
            looks.add_metric([one.identity, site], many)
        if one.privacy is not None:
            epsilon.add_metric([one.identity, "spent"], one.privacy.spent)
            epsilon.add_metric([one.identity, "planned"], one.privacy.epsilon)
    yield from (state, progress, last, messages, failures, seconds, looks, epsilon)


def _of_training(shown: list[Snapshot]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    labels = ["run", "fold"]
    rounds = GaugeMetricFamily(
        "myofed_training_round", "Rounds of the last network that was measured", labels=labels
    )
    measures = {
        "training_loss": GaugeMetricFamily(
            "myofed_training_loss", "Mean over the slices of the last round", labels=labels
        ),
        "validation_loss": GaugeMetricFamily(
            "myofed_validation_loss", "Of the last network that was measured", labels=labels
        ),
        "validation_auc": GaugeMetricFamily(
            "myofed_validation_auc", "Of the last network that was measured", labels=labels
        ),
    }
    for one in shown:
        for curve in one.curves:
            own = [one.identity, str(curve.fold)]
            rounds.add_metric(own, curve.rounds[-1])
            for name, family in measures.items():
                value: float | None = getattr(curve, name)[-1]
                if value is not None:
                    family.add_metric(own, value)
    yield from (rounds, *measures.values())


def _of_sites(shown: list[Snapshot]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    labels = ["run", "site"]
    state = GaugeMetricFamily(
        "myofed_site_state", "1 for the state that the site is in", labels=[*labels, "state"]
    )
    last = GaugeMetricFamily(
        "myofed_site_last_answer_timestamp_seconds", "When its last answer came", labels=labels
    )
    seconds = GaugeMetricFamily(
        "myofed_site_round_seconds", "Seconds of its last round", labels=labels
    )
    moved = CounterMetricFamily(
        "myofed_site_bytes", "Bytes that the site sent and received", labels=[*labels, "direction"]
    )
    missed = CounterMetricFamily(
        "myofed_site_missed_questions", "Questions without an answer that counts", labels=labels
    )
    for one in shown:
        for site in one.sites:
            own = [one.identity, site.name]
            for name in get_args(SiteState):
                state.add_metric([*own, name], float(site.state == name))
            if site.last_answer is not None:
                last.add_metric(own, site.last_answer)
            if site.seconds is not None:
                seconds.add_metric(own, site.seconds)
            moved.add_metric([*own, "sent"], site.sent_in_all)
            moved.add_metric([*own, "received"], site.received_in_all)
            missed.add_metric(own, site.missed)
    yield from (state, last, seconds, moved, missed)
