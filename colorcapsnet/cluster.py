"""Many machines: :func:`batch.colorize_one` mapped by Ray Data over the jobs, a network held in each worker.

What a worker was doing when it was lost is done by another; a picture that takes its worker with it again and again is
a failed one. Pictures have to be where every machine finds them: on a shared file system, or by URL.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import socket
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from colorcapsnet import batch, progress
from colorcapsnet.batch import Colorizes, Job, Outcome
from colorcapsnet.errors import ClusterError, need
from colorcapsnet.remote import Place

TRIES = 3
LOST = f"its worker was lost {TRIES} times: it may need more memory than there is; color it alone, without --cluster"


def colorize_all(
    jobs: Sequence[Job],
    colorizer: Colorizes,
    *,
    address: str = "auto",
    strength: float = 1.0,
    overwrite: bool = False,
    told: Mapping[str, str] | None = None,
    workers: int | None = None,
) -> list[Outcome]:
    """Every job to its outcome, in the order of the jobs, with a bar; see :func:`batch.colorize_one`.

    Args:
        jobs: from :func:`batch.plan`.
        colorizer: gives the colors; it is pickled here, and unpickled once in each worker.
        address: of the cluster: ``HOST:PORT``, ``local`` for one of this machine's cores that ends with the call, or
            ``auto`` for the one that ``RAY_ADDRESS`` names or that runs here, else ``local``.
        strength: 0 is gray, 1 what is likely, 2 vivid.
        overwrite: color again what is there already.
        told: provenance to write into the pictures, or None.
        workers: at most; each has one core, and one picture at a time. By default as many as there are cores.

    Raises:
        ClusterError: there is no cluster at the address, or its workers cannot begin.
        MissingExtra: Ray is not installed.
        OutputError: the folder of a target cannot be made.
    """
    data: Any = need("ray.data", "cluster")
    waiting = batch.left(jobs, overwrite=overwrite)
    known = {job: Outcome(job, "skipped", batch.THERE) for job in set(jobs).difference(waiting)}
    if not waiting:
        return [known[job] for job in jobs]
    for folder in {job.target.parent for job in waiting if isinstance(job.target, Path)}:
        batch.make_folder(folder)
    rows = [{"at": at, "job": pickle.dumps(_anywhere(job))} for at, job in enumerate(waiting)]
    worker = _worker(colorizer, {"strength": strength, "overwrite": overwrite, "told": told})
    with progress.bar("coloring on a cluster", len(jobs), start=len(known)) as advance, _cluster(address) as cores:
        most = min(workers or cores, len(rows))
        pool = data.ActorPoolStrategy(min_size=1, max_size=most, max_tasks_in_flight_per_actor=1)
        with warnings.catch_warnings(action="ignore"):  # retries have no other name yet
            mapped = data.from_items(rows, override_num_blocks=len(rows)).map(
                worker, compute=pool, num_cpus=1, max_task_retries=TRIES - 1
            )
        for row in mapped.iter_rows():
            job = waiting[row["at"]]
            known[job] = _told_here(job, pickle.loads(row["outcome"]))
            advance(1)
    return [known.get(job) or Outcome(job, "failed", LOST) for job in jobs]


def _anywhere(job: Job) -> Job:
    """The same job, wherever a worker stands."""
    return Job(*(place.absolute() if isinstance(place, Path) else place for place in (job.source, job.target)))


def _told_here(job: Job, outcome: Outcome) -> Outcome:
    """What a worker says of its job, with the names that the job has here."""
    if outcome.status == "skipped":  # it was not there before this run
        return Outcome(job, "done", "its worker was lost after writing it")
    message = outcome.message
    for there, here in ((outcome.job.source, job.source), (outcome.job.target, job.target)):
        message = message.replace(str(there), str(here))
    return replace(outcome, job=job, message=message)


def _worker(colorizer: Colorizes, options: Mapping[str, Any]) -> type:
    """The class of which Ray Data makes one in each worker."""
    packed: bytes = need("ray.cloudpickle", "cluster").dumps(colorizer)

    class Worker:
        def __init__(self) -> None:
            self.colorizer = pickle.loads(packed)

        def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
            job = pickle.loads(row["job"])
            unseen = next((place for place in (job.source, job.target.parent) if _is_unseen(place)), None)
            if unseen is None:
                outcome = batch.colorize_one(job, self.colorizer, **options)
            else:
                message = f"{socket.gethostname()} does not see {unseen}: share the folder, or name pictures by URL"
                outcome = Outcome(job, "failed", message)
            return {"at": row["at"], "outcome": pickle.dumps(outcome)}

    return Worker


def _is_unseen(place: Place) -> bool:
    return isinstance(place, Path) and not os.path.lexists(place)


@contextlib.contextmanager
def _cluster(address: str) -> Iterator[int]:
    """The cores of a cluster while the block runs. Its errors are one line, and standard output stays ours."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    ray: Any = need("ray", "cluster")
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # a picture that takes its worker with it does not stop the rest
    with contextlib.redirect_stdout(sys.stderr):
        try:
            _knock(address)
            _begin(ray, address)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as problem:
            told = " ".join(str(problem).split())
            raise ClusterError(
                f"the cluster {address} cannot be reached ({told}): check that it runs, and set RAY_AUTH_MODE=token if "
                "it has a token"
            ) from None
        try:
            yield max(1, int(ray.cluster_resources()["CPU"]))
        except ray.exceptions.RayError as problem:
            told = str(problem).strip().splitlines()[-1]
            raise ClusterError(f"the cluster stopped ({told}); the same command goes on from there") from None
        finally:
            ray.shutdown()


def _knock(address: str) -> None:
    """Fail at once where nobody answers; Ray would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _begin(ray: Any, address: str) -> None:  # noqa: ANN401
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address == "auto" and "RAY_ADDRESS" not in os.environ:
        try:
            ray.init("auto", **quiet)
            return
        except ConnectionError as problem:
            if "Could not find" not in str(problem):  # there is one, and it refuses
                raise
        address = "local"
    ray.init(address, **quiet, **({"include_dashboard": False} if address == "local" else {}))
