"""The two packages that are deployed: the same bytes each time, what stands in them, and that they work alone."""

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import signal
import stat
import struct
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from local import demo, webjob
from local.host import Hosting
from local.package.__main__ import CACHE
from local.package.contents import JOB_PACKAGES, jobs
from local.package.source import PACKAGED, Source, read_source
from local.processes import ROOT, Child
from local.stack import Deployed, Stack, running_stack
from tests.integration.conftest import eventually
from tests.integration.test_deployed_alone import FUNCTIONS, SETTINGS

BASE_PYTHON = str(sys._base_executable)  # type: ignore[attr-defined]
# What a machine may have set for pip: where packages come from, and the way there. Nothing of the project.
WAY = {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"}
PIPS_OWN = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.upper() in WAY}
WHEEL_TAG = re.compile(r"(py3|py2\.py3)-none-any|cp(3\d+-abi3|313-cp313)-manylinux(1|2010|2014|_2_\d+)_x86_64")
X86_64 = 62  # e_machine of an ELF file
STOP_S = 5.0

PROBE = """\
import json, os, signal, sys

def tell(*_):
    files = {{name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}}
    with open({folder!r} + "/unfinished", "w") as file:
        json.dump({{"path": sys.path, "modules": files}}, file)
    os.rename({folder!r} + "/unfinished", {folder!r} + "/" + str(os.getpid()))

signal.signal(signal.SIGUSR1, tell)
"""


@dataclass(frozen=True)
class Made:
    """The packages as `make package` makes them from this work tree: the two files, and what was printed."""

    functions: Path
    webjobs: Path
    said: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("dist")
    done = package(ROOT, folder, {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"})
    assert done.returncode == 0, done.stderr
    return Made(folder / "functions.zip", folder / "webjobs.zip", done.stdout)


@pytest.fixture(scope="module")
def source() -> Source:
    return read_source(ROOT, os.environ)


@pytest.fixture(scope="module")
def app(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """functions.zip, unpacked."""
    return unpack(made.functions, tmp_path_factory.mktemp("wwwroot"))


@pytest.fixture(scope="module")
def remote_build(app: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment as the remote build makes it: plain pip, the app's requirements.txt, and nothing else."""
    folder = tmp_path_factory.mktemp("build")
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **PIPS_OWN}
    requirements = str(shutil.copy(app / "requirements.txt", folder))
    for command in (
        [BASE_PYTHON, "-m", "venv", "antenv"],
        [str(folder / "antenv" / "bin" / "pip"), "install", "-r", requirements],
    ):
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "antenv"


def package(root: Path, output: Path, environment: Mapping[str, str], umask: str = "022") -> Any:
    """Run `python -m local.package` in `root`, under a umask."""
    make = [sys.executable, "-m", "local.package", "--output", str(output)]
    command = ["sh", "-c", f'umask {umask}; exec "$@"', "sh", *make]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=120, check=False)


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack an archive with the modes that stand in it."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
        for entry in opened.infolist():
            (folder / entry.filename).chmod(entry.external_attr >> 16)
    return folder


def stamp(archive: Path) -> int:
    """The one time that all entries have, in seconds since 1970."""
    with zipfile.ZipFile(archive) as opened:
        (moment,) = {entry.date_time for entry in opened.infolist()}
    return int(datetime(*moment, tzinfo=UTC).timestamp())


def names(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as opened:
        return opened.namelist()


def test_another_folder_umask_time_zone_and_hash_seed_and_no_git_give_the_same_bytes(
    made: Made, source: Source, tmp_path: Path
) -> None:
    copy, again = tmp_path / "elsewhere" / "a copy", tmp_path / "again"
    for file in source.files:
        if file.startswith((*PACKAGED, ".gitignore")):
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, copy / file)
    shutil.copytree(ROOT / "local", copy / "local")
    shutil.copytree(ROOT / CACHE, copy / CACHE)
    (copy / "functions" / "__pycache__").mkdir()
    (copy / "functions" / "__pycache__" / "settings.cpython-313.pyc").write_bytes(b"made by a run")
    differing = {"TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "7", "LC_ALL": "C"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}

    epoch = {"SOURCE_DATE_EPOCH": str(stamp(made.functions))}
    done = package(copy, again, {**kept, **differing, **epoch}, umask="077")

    assert done.returncode == 0, done.stderr
    assert (again / "functions.zip").read_bytes() == made.functions.read_bytes()
    assert (again / "webjobs.zip").read_bytes() == made.webjobs.read_bytes()


def test_it_says_of_each_package_its_size_its_files_and_its_hash(made: Made) -> None:
    for archive in (made.functions, made.webjobs):
        content = archive.read_bytes()
        said = f"{archive}  {len(content):,} bytes, {len(names(archive))} files, sha256 "
        assert said + hashlib.sha256(content).hexdigest() in made.said.splitlines()


def test_a_fault_is_told_in_one_line_and_nothing_is_made(tmp_path: Path) -> None:
    done = package(ROOT, tmp_path / "dist", {**os.environ, "SOURCE_DATE_EPOCH": "yesterday"})
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("no packages were made: SOURCE_DATE_EPOCH: found 'yesterday'")
    assert not (tmp_path / "dist").exists()


def test_functions_zip_holds_the_app_and_nothing_else(made: Made, source: Source) -> None:
    found = names(made.functions)
    assert found == sorted(
        file
        for file in source.files
        if file.startswith("functions/") or file in {"function_app.py", "host.json", "requirements.txt"}
    )
    assert {PurePosixPath(name).parts[0] for name in found} == {
        "function_app.py",
        "functions",
        "host.json",
        "requirements.txt",
    }


def test_webjobs_zip_holds_each_job_whole(made: Made, source: Source) -> None:
    found = names(made.webjobs)
    assert {PurePosixPath(name).parts[:2] for name in found} == {("App_Data", "jobs")}
    assert {PurePosixPath(name).parts[2:4] for name in found} == set(jobs(source.files))
    assert ("continuous", "ledger-relay") in jobs(source.files)
    for kind, job in jobs(source.files):
        folder = f"App_Data/jobs/{kind}/{job}/"
        own = [name.removeprefix(folder) for name in found if name.startswith(folder)]
        ours = sorted(name for name in own if not name.startswith("site-packages/"))
        packages = [
            file.removeprefix("webjob/") for one in JOB_PACKAGES[job] for file in source.below(f"webjob/{one}/")
        ]
        assert ours == sorted(["run.sh", "settings.job", *packages])
        for distribution in ("requests-", "msgspec-", "bigchaindb_driver-", "azure_data_tables-"):
            assert any(name.startswith(f"site-packages/{distribution}") for name in own), distribution


def test_nothing_of_this_machine_or_its_installer_stands_in_a_package(made: Made) -> None:
    for archive in (made.functions, made.webjobs):
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                path = PurePosixPath(entry.filename)
                assert not {"__pycache__", "tests", "local", "bin"} & set(path.parts[:6]), path
                assert path.suffix not in {".pyc", ".key", ".pem", ".env"} or path.name == "cacert.pem", path
                assert path.name not in {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "local.settings.json"}
                content = opened.read(entry)
                for place in (f"{ROOT}/", f"{sys.prefix}/", f"{sys.base_prefix}/"):
                    assert place.encode() not in content, (path, place)
                mode = stat.S_IFREG | (0o755 if path.name == "run.sh" else 0o644)
                assert (entry.external_attr >> 16, entry.create_system) == (mode, 3), path


def test_everything_is_for_linux_x86_64_and_cpython_3_13(made: Made) -> None:
    compiled, checked = 0, set()
    for archive in (made.functions, made.webjobs):
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                content = opened.read(entry)
                digest = hashlib.sha256(content).digest()
                if digest in checked:
                    continue
                checked.add(digest)
                if entry.filename.endswith(".py"):
                    with warnings.catch_warnings(action="ignore"):
                        compile(content, entry.filename, "exec", dont_inherit=True)
                elif entry.filename.endswith(".dist-info/WHEEL"):
                    tags = re.findall(r"^Tag: (\S+)", content.decode(), re.MULTILINE)
                    assert [tag for tag in tags if WHEEL_TAG.fullmatch(tag)], (entry.filename, tags)
                elif ".so" in entry.filename:
                    (machine,) = struct.unpack_from("<H", content, 18)
                    assert (content[:4], machine) == (b"\x7fELF", X86_64), entry.filename
                    assert re.search(r"\.(abi3|cpython-313-x86_64-linux-gnu)\.so$", entry.filename), entry.filename
                    compiled += 1
    assert compiled > 5


def test_plain_pip_resolves_the_requirements_and_the_app_is_indexed(app: Path, remote_build: Path) -> None:
    listing = "import function_app; print(sorted(f.get_function_name() for f in function_app.app.get_functions()))"
    done = subprocess.run(
        [str(remote_build / "bin" / "python"), "-c", listing],
        env={**SETTINGS, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=app,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(FUNCTIONS)


class Platform:
    """Azure's part, made of what is here: the Functions host in a folder of its own, and Kudu with a bare Python."""

    def __init__(self, folder: Path, app: Path, webjobs: Path, packages: Path) -> None:
        self.app, self.webjobs, self.packages = app, webjobs, packages
        self.host, self.python, self.told = folder / "host", folder / "python", folder / "told"
        for made in (self.host, self.told, folder / "elsewhere"):
            made.mkdir()
        self._bring_the_host(read_requirements(app / "requirements.txt"))
        subprocess.run([BASE_PYTHON, "-m", "venv", "--without-pip", str(self.python)], check=True, timeout=60)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        for place in (self.host, self.python / "lib" / version / "site-packages"):
            (place / "sitecustomize.py").write_text(PROBE.format(folder=str(self.told)))
        # Nothing of this process's environment comes through.
        nothing = ["env", *(word for name in os.environ if name != "PATH" for word in ("-u", name))]
        path = f"{self.python / 'bin'}:/usr/bin:/bin"
        serve = [str(packages / "bin" / "python"), "-P", "-s", "-m", "local.functions_host"]
        self.deployed = Deployed(
            Hosting(app, [*nothing, f"PATH={path}", f"PYTHONPATH={self.host}", *serve], folder / "elsewhere"),
            lambda place: self.copied("continuous", webjob.JOB, place),
            webjob.Kudu(nothing, path),
        )

    def copied(self, kind: str, job: str, folder: Path) -> Path:
        """A job's folder below `folder`, copied there once: Kudu runs a job from a copy."""
        target = folder / "jobs" / kind / job
        if not target.exists():
            shutil.copytree(self.webjobs / "App_Data" / "jobs" / kind / job, target)
        return target

    def ask(self, pid: int) -> dict[str, Any]:
        """Where a running process has its modules from, as it says itself: `path`, and `modules` by name."""
        os.kill(pid, signal.SIGUSR1)
        eventually((self.told / str(pid)).exists)
        told: dict[str, Any] = json.loads((self.told / str(pid)).read_text())
        return told

    def host_process(self) -> int:
        """The process id of the Functions host that serves the app."""
        (pid,) = [
            int(process.name)
            for process in Path("/proc").glob("[0-9]*")
            if (words := command_line(process)) and "local.functions_host" in words and str(self.app) in words
        ]
        return pid

    def _bring_the_host(self, of_the_app: set[str]) -> None:
        """The host's modules and what they need beside the app's packages."""
        (self.host / "local").mkdir()
        shutil.copy(ROOT / "local" / "__init__.py", self.host / "local")
        shutil.copy(ROOT / "local" / "processes.py", self.host / "local")
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "local" / "functions_host", self.host / "local" / "functions_host", ignore=ignored)
        for name in needed("uvicorn", "azure-functions-runtime") - of_the_app:
            for file in importlib.metadata.files(name) or []:
                if ".." not in file.parts and file.suffix != ".pyc":
                    (self.host / file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(str(file.locate()), self.host / file)


def read_requirements(path: Path) -> set[str]:
    return set(re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==", path.read_text(), re.MULTILINE))


def needed(*distributions: str) -> set[str]:
    """Names of installed distributions and of all that they need."""
    found: set[str] = set()
    waiting = list(distributions)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop().lower())
        try:
            requires = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform
        if name not in found:
            found.add(name)
            waiting += [re.split(r"[^A-Za-z0-9._-]", one)[0] for one in requires if "extra ==" not in one]
    return found


def command_line(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_bytes().decode().split("\0")
    except OSError:
        return []


def variables(pid: int) -> set[str]:
    return {one.partition("=")[0] for one in Path(f"/proc/{pid}/environ").read_text().split("\0") if one}


def run_to_its_end(child: Child, within: float) -> int:
    eventually(lambda: child.exit_code is not None, within)
    return child.stop()


def test_the_unpacked_packages_play_the_story_by_themselves(
    app: Path, made: Made, remote_build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    webjobs = unpack(made.webjobs, tmp_path / "webjobs")
    platform = Platform(tmp_path, app, webjobs, remote_build)
    lessor = [demo.LESSOR.public_key]
    with running_stack(tmp_path / "stack", lessor, lambda _: None, deployed=platform.deployed) as stack:
        demo.tell(stack, demo.Story(stack), stack.start_relay())
        assert demo.compare(stack) == 0
        assert "record equals ledger: 4 drivers, 3 cars" in capsys.readouterr().out.splitlines()

        the_function_app_is_the_unpacked_one(platform)
        the_relay_is_the_unpacked_one(platform, stack)
        the_shutdown_file_stops_the_relay(stack)
        every_triggered_job_runs(platform, stack, webjobs)


def the_function_app_is_the_unpacked_one(platform: Platform) -> None:
    pid = platform.host_process()
    told = platform.ask(pid)
    modules = told["modules"]
    assert Path(modules["functions.recording"]) == platform.app / "functions" / "recording.py"
    assert Path(modules["function_app"]) == platform.app / "function_app.py"
    assert Path(modules["azure.data.tables"]).is_relative_to(platform.packages)
    assert Path(modules["local.functions_host.front"]).is_relative_to(platform.host)
    assert [entry for entry in told["path"] if Path(entry).is_relative_to(ROOT)] == []
    assert outside(told, platform.app, platform.packages, platform.host, sys.base_prefix) == []
    assert "HOME" not in variables(pid)


def the_relay_is_the_unpacked_one(platform: Platform, stack: Stack) -> None:
    assert stack.relay is not None
    job = platform.copied("continuous", webjob.JOB, stack.folder)
    told = platform.ask(stack.relay.pid)
    assert Path(told["modules"]["relay.loop"]) == job / "relay" / "loop.py"
    assert Path(told["modules"]["requests"]).is_relative_to(job / "site-packages")
    assert [entry for entry in told["path"] if Path(entry).is_relative_to(ROOT)] == []
    assert outside(told, job, platform.python, sys.base_prefix) == []
    kudus = {name for name in variables(stack.relay.pid) if name.startswith("WEBJOBS_")}
    assert kudus == {f"WEBJOBS_{name}" for name in ("NAME", "TYPE", "PATH", "DATA_PATH", "SHUTDOWN_FILE")}
    of_the_shell = {"PWD", "OLDPWD", "SHLVL", "_"}
    set_by_run_sh = {"PYTHONPATH", "PYTHONUNBUFFERED"}
    assert variables(stack.relay.pid) - kudus - set(stack.relay_settings) - of_the_shell == {"PATH", *set_by_run_sh}


def outside(told: Mapping[str, Any], *folders: str | Path) -> list[str]:
    """The files of a process's modules that are of none of these folders."""
    files = [file for file in told["modules"].values() if file and file != "frozen"]
    return [file for file in files if not any(Path(file).is_relative_to(folder) for folder in folders)]


def the_shutdown_file_stops_the_relay(stack: Stack) -> None:
    assert stack.relay is not None
    began = time.monotonic()
    (stack.folder / "jobs" / "continuous" / webjob.JOB / "shutdown.txt").write_text("")
    assert run_to_its_end(stack.relay, within=STOP_S) == 0
    assert time.monotonic() - began < STOP_S
    assert "relay stopped" in stack.relay.own_log()


def every_triggered_job_runs(platform: Platform, stack: Stack, webjobs: Path) -> None:
    folder = webjobs / "App_Data" / "jobs" / "triggered"
    for job in sorted(folder.iterdir()) if folder.exists() else []:
        copy = platform.copied("triggered", job.name, stack.folder)
        log = stack.folder / f"{job.name}.log"
        child = webjob.start_job("triggered", copy, stack.relay_settings, log, platform.deployed.kudu)
        assert run_to_its_end(child, within=60) == 0, child.own_log()
