"""Run a study over site folders by Flower's simulation engine, in this very process.

`run_simulation` of Flower leaves nothing running behind it. The engine's processes are fewer than
the sites where there are many; the results do not depend on their number.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.imaging.extract import available_cores
from common.errors import Interrupted, MyoFedError, RunError
from common.threads import one_thread
from server.export.follower import exporting
from server.federation import Watch
from server.network.runs import BEGAN, FAILED, FINISHED, STOPPED, holding
from server.run import RunFolder


def federate(run: RunFolder, sites: Mapping[str, Path], names: list[str], watch: Watch) -> None:
    """Run the whole federation; results are written into the run's folder.

    Parameters
    ----------
    sites
        Folder of every site of the study's roster.
    names
        Names of the radiomic features.
    watch
        Told of each stage and step as it is done.

    Raises
    ------
    MyoFedError
        What ended the run: a site that refused, a study that does not fit, Ctrl-C.
    """
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    from flwr.simulation import run_simulation

    from client.app import carrier
    from server.app import coordinator_app
    from simulation.directory import SimulatedDirectory, answer_places
    from simulation.hand_on import hand_on_at_once
    from simulation.processes import engine_processes
    from simulation.site_logs import SiteLogs
    from simulation.workers import LocalWorkers

    for name in ("flwr", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)
    study = run.study
    folders = tuple(str(sites[site.name]) for site in study.sites)
    processes = min(len(folders), 2 * available_cores())
    failures: list[BaseException] = []
    stop = threading.Event()
    roster = [site.name for site in study.sites]
    directory = partial(SimulatedDirectory, roster=roster, stop=stop)
    server = coordinator_app(run, names, directory, watch, stop, failures.append)
    # Nobody is to be kept out here: keys of the day do, and no site folder needs any.
    identities = tuple(Ed25519PrivateKey.generate().private_bytes_raw() for _ in folders)
    logs = SiteLogs({site.name: sites[site.name] for site in study.sites})
    client = carrier(LocalWorkers(folders, study.canonical(), identities))
    answer_places(client)
    hand_on_at_once()
    with _ctrl_c_sets(stop), warnings.catch_warnings(), holding(run), exporting(run), one_thread():
        warnings.simplefilter("ignore")
        run.event(event=BEGAN)
        try:
            with engine_processes(processes):
                run_simulation(
                    server,
                    client,
                    num_supernodes=len(folders),
                    backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
                )
        except Exception as error:
            # The engine's own: whoever watches the run's events is told of it as well.
            failures.append(error)
        _tell_the_end(run, failures)
    if failures:
        for site, said in logs.failures().items():
            failures[0].add_note(f"The log of {site}:\n{said}")
        raise failures[0]
    if not (run.path / "results.json").exists():
        raise RunError("The run ended without results.", "Its events.jsonl shows how far it came.")


def _tell_the_end(run: RunFolder, failures: Sequence[BaseException]) -> None:
    """Write into the run's events how it ended, for whoever watches it."""
    if not failures:
        if (run.path / "results.json").exists():
            run.event(event=FINISHED)
    elif isinstance(failures[0], Interrupted):
        run.event(event=STOPPED)
    else:
        error = failures[0]
        what = error.what if isinstance(error, MyoFedError) else f"{type(error).__name__}: {error}"
        fix = error.fix if isinstance(error, MyoFedError) else "Report it, then go on with the run."
        code = error.code if isinstance(error, MyoFedError) else "unexpected"
        run.event(event=FAILED, code=code, what=what, fix=fix)


@contextmanager
def _ctrl_c_sets(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C end the run at its next pause, so that the engine is shut down in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
