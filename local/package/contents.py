"""What stands in each package, and under which name.

functions.zip is what .funcignore admits. webjobs.zip is App_Data as Kudu wants it: Kudu runs a job from a copy of the
job's own folder, so that each holds everything the job needs.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from local.package.archive import FILE, PROGRAM, Entry
from local.package.errors import SourceError
from local.package.source import Source, ignored_by

APP = ("function_app.py", "functions", "host.json", "requirements.txt")  # at the top of functions.zip, and nothing else
JOBS = "webjob/jobs/"
# The packages below webjob/ that each job's run.sh starts from.
JOB_PACKAGES: Mapping[str, tuple[str, ...]] = {"ledger-relay": ("relay",), "ledger-audit": ("audit", "relay")}
JOB_FILES = ("run.sh", "settings.job")


def functions(source: Source) -> list[Entry]:
    """The Function app. Raises SourceError when .funcignore admits more than the app, or less."""
    ignored = ignored_by(source.root / ".funcignore")
    admitted = [file for file in source.files if file != ".funcignore" and not ignored.match_file(file)]
    tops = {PurePosixPath(file).parts[0] for file in admitted}
    if extra := sorted(tops - set(APP)):
        raise SourceError(f".funcignore admits {', '.join(extra)}: name it there, or publishing uploads it")
    if missing := sorted(set(APP) - tops):
        raise SourceError(f"{', '.join(missing)} is missing, or .funcignore keeps it out: the app needs it")
    return [_entry(source, file, file) for file in admitted]


def webjobs(source: Source, site_packages: Path) -> list[Entry]:
    """The WebJobs, each with its packages and with `site_packages`. Raises SourceError when a job is not whole."""
    entries: list[Entry] = []
    for kind, job in jobs(source.files):
        folder = f"App_Data/jobs/{kind}/{job}/"
        own = source.below(f"{JOBS}{kind}/{job}/")
        names = [file.removeprefix(f"{JOBS}{kind}/{job}/") for file in own]
        if missing := [name for name in JOB_FILES if name not in names]:
            raise SourceError(f"{JOBS}{kind}/{job} has no {' and no '.join(missing)}: Kudu needs both")
        entries += [_entry(source, file, folder + name) for file, name in zip(own, names, strict=True)]
        for package in _packages(job):
            modules = source.below(f"webjob/{package}/")
            if not modules:
                raise SourceError(f"webjob/{package} is missing, or git does not track it: {job} needs it")
            entries += [_entry(source, file, folder + file.removeprefix("webjob/")) for file in modules]
        entries += _tree(site_packages, f"{folder}site-packages/")
    return entries


def jobs(files: Iterable[str]) -> list[tuple[str, str]]:
    """The jobs that stand below webjob/jobs, as (continuous or triggered, name)."""
    parts = [PurePosixPath(file.removeprefix(JOBS)).parts for file in files if file.startswith(JOBS)]
    return sorted({(one[0], one[1]) for one in parts if len(one) > 2})


def _packages(job: str) -> tuple[str, ...]:
    if job not in JOB_PACKAGES:
        raise SourceError(f"{JOBS}*/{job}: which packages does it need? Name them in {Path(__file__).name}")
    return JOB_PACKAGES[job]


def _entry(source: Source, file: str, name: str) -> Entry:
    # By name: the exec bit of the work tree is lost where a file system has none.
    return Entry(name, source.root / file, PROGRAM if name.endswith(".sh") else FILE)


def _tree(folder: Path, prefix: str) -> list[Entry]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return [Entry(prefix + path.relative_to(folder).as_posix(), path) for path in found]
