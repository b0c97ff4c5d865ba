"""The WebJob's files, as they are deployed: what runs is what stands in them, and no secret is written to them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from local import webjob
from local.processes import ROOT
from local.scenario import LedgerClient
from local.stack import Stack, running_stack
from tests.integration.conftest import LESSOR, eventually
from tests.integration.relays import TERMS, has, relaying, said
from tests.integration.test_deployed_alone import site_packages
from tests.signing import signing_secret
from tests.writing import new_car, new_keys

SECRETS = signing_secret("one"), signing_secret("another")
WRONG_KEY = "S3cret-key-that-opens-nothing-AzFu=="
PLANTED = ["relay", "requests", "msgspec", "json", "logging", "sitecustomize", "usercustomize"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything but a relay, on a Function app that asks for signatures."""
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder, [LESSOR.public_key], lambda _: None, webhook_secrets=",".join(SECRETS)) as running:
        yield running


class Deployed:
    """The job's folder with its packages, and a Python that knows no other: that of the virtual environment does."""

    def __init__(self, folder: Path) -> None:
        self.job = webjob.lay_out(folder)
        site_packages(ROOT / "webjob" / "requirements.txt", self.job / "site-packages")
        self.elsewhere, self.home = folder / "elsewhere", folder / "home"
        self.elsewhere.mkdir()
        self.home.mkdir()
        self.witness = folder / "witness"
        (folder / "bin").mkdir()
        (folder / "bin" / "python3").symlink_to(sys._base_executable)  # type: ignore[attr-defined]
        self.environment = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "HOME": str(self.home)}

    def plant(self, folder: Path) -> None:
        """Put modules into a folder that tell when they are run."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in PLANTED:
            (folder / f"{name}.py").write_text(f"open({str(self.witness)!r}, 'a').write('{name} ')\n")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a directory that is not the job's."""
        return subprocess.run(
            command,
            env=self.environment,
            cwd=self.elsewhere,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def deployed(tmp_path: Path) -> Deployed:
    return Deployed(tmp_path)


@pytest.mark.parametrize("place", ["the directory it is started in", "the user's packages", "PYTHONPATH"])
def test_a_module_that_stands_outside_of_the_jobs_folder_is_not_run(deployed: Deployed, place: str) -> None:
    match place:
        case "the user's packages":
            version = f"python{sys.version_info.major}.{sys.version_info.minor}"
            deployed.plant(deployed.home / ".local" / "lib" / version / "site-packages")
        case "PYTHONPATH":
            deployed.plant(deployed.home / "modules")
            deployed.environment["PYTHONPATH"] = str(deployed.home / "modules")
        case _:
            deployed.plant(deployed.elsewhere)
    deployed.run("python3", "-m", "relay", "run")
    assert deployed.witness.exists(), "it would not be run anyhow"
    deployed.witness.unlink()

    done = deployed.run("sh", str(deployed.job / "run.sh"))

    # It came as far as its settings: by then it has imported all that it needs.
    assert (done.returncode, "LEDGER_URLS: found nothing" in done.stderr) == (2, True), done.stderr
    assert not deployed.witness.exists(), deployed.witness.read_text()


@pytest.mark.parametrize("shell", [name for name in ("dash", "bash") if shutil.which(name)])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PYTHONHOME", "/nowhere"),
        ("PYTHONPLATLIBDIR", "nowhere"),
        ("PYTHONINSPECT", "1"),
        ("PYTHONSTARTUP", "/nowhere.py"),
        ("CDPATH", "."),
    ],
)
def test_what_the_surroundings_tell_shell_and_python_changes_nothing(
    tmp_path: Path, shell: str, name: str, value: str
) -> None:
    """Started by a relative path, from a folder with spaces in its name."""
    deployed = Deployed(tmp_path / "a folder")
    deployed.environment[name] = value
    deployed.elsewhere = deployed.job.parent
    done = deployed.run(str(shutil.which(shell)), f"{deployed.job.name}/run.sh", "status", "--help")
    assert (done.returncode, "relay status" in done.stdout) == (0, True), done


def test_another_command_of_the_relay_is_run_by_the_same_file(deployed: Deployed) -> None:
    done = deployed.run("sh", str(deployed.job / "run.sh"), "status", "--help")
    assert (done.returncode, "relay status" in done.stdout) == (0, True), done


@pytest.mark.parametrize("job", ["continuous/ledger-relay", "triggered/ledger-audit"])
@pytest.mark.parametrize(
    ("python", "found"), [("#!/bin/sh\necho Python 3.11.9\nexit 1\n", "3.11.9"), ("", "not found")]
)
def test_another_python_is_refused_in_one_line(deployed: Deployed, job: str, python: str, found: str) -> None:
    if python:
        other = deployed.elsewhere / "python3"
        other.write_text(python)
        other.chmod(0o755)
    (deployed.elsewhere / "dirname").symlink_to(shutil.which("dirname") or "")
    deployed.environment["PATH"] = str(deployed.elsewhere)

    done = deployed.run("/bin/sh", str(ROOT / "webjob" / "jobs" / job / "run.sh"))

    assert (done.returncode, done.stdout) == (2, "")
    assert f"{Path(job).name}: python3 must be Python 3.13" in done.stderr
    assert found in done.stderr


def test_the_jobs_folders_hold_no_more_than_is_deployed() -> None:
    jobs = ROOT / "webjob" / "jobs"
    files = [str(path.relative_to(jobs)) for path in jobs.rglob("*") if path.is_file()]
    assert sorted(files) == [
        "continuous/ledger-relay/run.sh",
        "continuous/ledger-relay/settings.job",
        "triggered/ledger-audit/run.sh",
        "triggered/ledger-audit/settings.job",
    ]


@pytest.mark.parametrize("kind", ["a file with content", "a folder", "a pipe"])
def test_what_stands_at_the_shutdown_files_place_stops_the_relay_and_is_not_opened(
    stack: Stack, tmp_path: Path, kind: str
) -> None:
    with relaying(stack, tmp_path) as relay:
        eventually(lambda: said(relay, "relay started"))
        shutdown = tmp_path / "App_Data" / "jobs" / "continuous" / webjob.JOB / "shutdown.txt"
        match kind:
            case "a folder":
                shutdown.mkdir()
            case "a pipe":
                os.mkfifo(shutdown)  # whoever opened it would wait for ever
            case _:
                shutdown.write_text("raise SystemExit(9)")
        eventually(lambda: relay.exit_code is not None, within=5)
        assert relay.exit_code == 0
        assert said(relay, "relay stopped")
        assert shutdown.exists()


def test_its_log_goes_to_a_file_too_from_its_first_line_to_its_last(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "copy.log"
    with relaying(stack, tmp_path, RELAY_LOG_FILE=str(file)) as relay:
        eventually(lambda: said(relay, "delivering"))
        relay.stop()
        printed = [line for line in relay.log.read_text().splitlines() if " INFO " in line]
    assert any("relay started" in line for line in printed)
    assert "relay stopped" in printed[-1]
    assert file.read_text().splitlines() == printed


def test_a_log_file_that_cannot_be_opened_is_told_and_stops_nothing(stack: Stack, tmp_path: Path) -> None:
    with relaying(stack, tmp_path, RELAY_LOG_FILE=str(tmp_path / "none" / "copy.log")) as relay:
        eventually(lambda: said(relay, "delivering"))
        assert said(relay, "the log file cannot be opened")
        assert said(relay, "No such file or directory")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_is_written_to_a_file_whatever_happens(stack: Stack, tmp_path: Path, log_format: str) -> None:
    """Delivery, a wrong key, a wrong signing secret, a wrong account key, and a setting in the place of another."""
    account_key = stack.tables.partition("AccountKey=")[2].partition(";")[0]
    unknown = signing_secret("unknown")
    ledger = LedgerClient(stack.ledger_url)
    with relaying(stack, tmp_path, RELAY_LOG_FORMAT=log_format) as relay:
        registered = ledger.create(LESSOR, new_car())
        leased = ledger.transfer(registered, LESSOR, new_keys().public_key, TERMS)
        eventually(lambda: has(stack, leased))
        eventually(lambda: said(relay, "delivered"))
    ledger.create(LESSOR, new_car())
    trouble = [
        ({"FUNCTION_KEY": WRONG_KEY}, "FUNCTION_KEY is not accepted"),
        ({"WEBHOOK_SECRETS": unknown}, "no v1 signature"),
        ({"TABLES_CONNECTION_STRING": stack.tables.replace(account_key, account_key[::-1].lstrip("="))}, "Storage"),
        ({"LEDGER_NAME": WRONG_KEY}, "LEDGER_NAME: found"),
        ({"RELAY_LANES": SECRETS[0]}, "RELAY_LANES: found"),
    ]
    for settings, words in trouble:
        with relaying(stack, tmp_path, RELAY_LOG_FORMAT=log_format, **settings) as relay:
            eventually(partial(said, relay, words))
    secrets = [stack.key, WRONG_KEY, account_key, *(one.removeprefix("whsec_") for one in (*SECRETS, unknown))]
    files = [path for folder in (tmp_path, stack.folder) for path in folder.rglob("*") if path.is_file()]
    assert {"relay.log", "functions.log", "run.sh"} <= {path.name for path in files}
    assert [
        (path, place) for path in files for place, one in enumerate(secrets) if one.encode() in path.read_bytes()
    ] == []


def test_the_relay_writes_nothing_into_its_folder(stack: Stack, tmp_path: Path) -> None:
    job = tmp_path / "App_Data" / "jobs" / "continuous" / webjob.JOB

    def files() -> dict[Path, bytes]:
        found = (path for path in job.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {path: path.read_bytes() for path in found}

    with relaying(stack, tmp_path) as relay:
        before = files()
        eventually(lambda: said(relay, "delivering"))
        relay.stop()
        assert files() == before
