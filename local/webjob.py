"""Runs the WebJobs as Kudu does: each from a folder of its own, through run.sh, with Kudu's variables."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.processes import ROOT, Child, start

JOB = "ledger-relay"


@dataclass(frozen=True, slots=True)
class Kudu:
    """What starts a job: the command that run.sh is given to, and the PATH on which run.sh finds its python3.

    By default a shell, and the running Python with its packages.
    """

    command: Sequence[str] = ("sh",)
    path: str = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"


LOCAL = Kudu()


def lay_out(folder: Path) -> Path:
    """Make the job's folder below `folder`, in App_Data's shape, as it is deployed; return the job's folder."""
    job = folder / "App_Data" / "jobs" / "continuous" / JOB
    if job.exists():
        shutil.rmtree(job)
    shutil.copytree(ROOT / "webjob" / "jobs" / "continuous" / JOB, job)
    shutil.copytree(ROOT / "webjob" / "relay", job / "relay", ignore=shutil.ignore_patterns("__pycache__"))
    return job


def start_relay(job: Path, settings: Mapping[str, str], log: Path, kudu: Kudu = LOCAL) -> Child:
    """Start the relay with these App Settings."""
    return start_job("continuous", job, settings, log, kudu)


def start_job(kind: str, job: Path, settings: Mapping[str, str], log: Path, kudu: Kudu = LOCAL) -> Child:
    """Start the job in the folder `job`, whose name is the job's, with these App Settings; `kind` as in App_Data."""
    shutdown_file = shutdown_file_of(job)
    shutdown_file.unlink(missing_ok=True)
    variables = {
        "WEBJOBS_NAME": job.name,
        "WEBJOBS_TYPE": kind,
        "WEBJOBS_PATH": str(job),
        "WEBJOBS_DATA_PATH": str(job),
        "WEBJOBS_SHUTDOWN_FILE": str(shutdown_file),
        "PATH": kudu.path,
    }
    return start(job.name, [*kudu.command, str(job / "run.sh")], log=log, env={**settings, **variables}, cwd=job)


def shutdown_file_of(job: Path) -> Path:
    """The file that asks a job to stop once it is there."""
    return job / "shutdown.txt"
