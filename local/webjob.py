"""Runs the relay as Kudu runs a continuous WebJob: from its own folder, through run.sh, with Kudu's variables."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from local.processes import ROOT, Child, start

JOB = "ledger-relay"


def lay_out(folder: Path) -> Path:
    """Make the job's folder below `folder`, in App_Data's shape, as it is deployed; return the job's folder."""
    job = folder / "App_Data" / "jobs" / "continuous" / JOB
    if job.exists():
        shutil.rmtree(job)
    shutil.copytree(ROOT / "webjob" / "jobs" / "continuous" / JOB, job)
    shutil.copytree(ROOT / "webjob" / "relay", job / "relay", ignore=shutil.ignore_patterns("__pycache__"))
    return job


def start_relay(job: Path, settings: Mapping[str, str], log: Path) -> Child:
    """Start the relay with these App Settings. Its dependencies are those of the running Python."""
    shutdown_file = job / "shutdown.txt"
    shutdown_file.unlink(missing_ok=True)
    kudu = {
        "WEBJOBS_NAME": JOB,
        "WEBJOBS_TYPE": "continuous",
        "WEBJOBS_PATH": str(job),
        "WEBJOBS_DATA_PATH": str(job),
        "WEBJOBS_SHUTDOWN_FILE": str(shutdown_file),
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
    }
    return start("relay", ["sh", str(job / "run.sh")], log=log, env={**settings, **kudu}, cwd=job)
