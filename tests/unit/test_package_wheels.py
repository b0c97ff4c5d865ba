"""The WebJobs' dependencies: pins are read for the target, files held against their hashes, errors say what to do."""

import hashlib
import os
import sys
import zipfile
from pathlib import Path

import pytest

from local.package.errors import PinError, ToolError, WheelError
from local.package.pins import Pin, read_pins
from local.package.wheels import build, check, check_tools, explain, fetch, install
from local.processes import ROOT

A, B = "a" * 64, "b" * 64


def pin_of(name: str, version: str, *contents: bytes) -> Pin:
    return Pin(name, version, frozenset(hashlib.sha256(content).hexdigest() for content in contents))


def test_a_requirements_file_of_uv_is_read() -> None:
    text = (
        f"# made by uv\nMsgspec==0.22.0 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\n    # via\n    #   x==1\n"
        f"azure.core[aio]==1.2 --hash=sha256:{B}\n"
    )
    assert read_pins(text) == (
        Pin("azure-core", "1.2", frozenset({B})),
        Pin("msgspec", "0.22.0", frozenset({A, B})),
    )


@pytest.mark.parametrize(
    ("marker", "pins"),
    [
        ("sys_platform == 'linux' and platform_machine == 'x86_64'", 1),
        ("platform_python_implementation != 'PyPy'", 1),
        ("python_full_version < '3.14'", 1),
        ("sys_platform == 'win32'", 0),
        ("sys_platform == 'darwin'", 0),
        ("platform_machine == 'arm64'", 0),
        ("python_version < '3.13'", 0),
    ],
)
def test_a_marker_is_held_against_the_target_and_not_this_machine(marker: str, pins: int) -> None:
    assert len(read_pins(f"one==1 ; {marker} \\\n    --hash=sha256:{A}\n")) == pins


@pytest.mark.parametrize(
    "line", ["one==1", f"one>=1 --hash=sha256:{A}", f"one --hash=sha256:{A}", "-r other.txt", "==1"]
)
def test_what_does_not_pin_one_version_by_hash_is_refused_with_the_line(line: str) -> None:
    with pytest.raises(PinError, match=line.split(" --hash")[0]):
        read_pins(line)


def test_the_webjobs_requirements_are_read_whole() -> None:
    names = {pin.name for pin in read_pins((ROOT / "webjob" / "requirements.txt").read_text())}
    assert {"bigchaindb-driver", "cffi", "cryptography", "msgspec", "requests", "websocket-client"} <= names


def test_fetched_files_are_told_apart_and_held_against_their_hashes(tmp_path: Path) -> None:
    (tmp_path / "one-1.0-py3-none-any.whl").write_bytes(b"wheel")
    (tmp_path / "two_parts-2.0.tar.gz").write_bytes(b"source")
    found = check([pin_of("one", "1.0", b"wheel"), pin_of("two-parts", "2.0", b"other", b"source")], tmp_path)
    assert [path.name for path in (*found.wheels, *found.sources)] == [
        "one-1.0-py3-none-any.whl",
        "two_parts-2.0.tar.gz",
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "one-1.0-py3-none-any.whl",
            b"changed",
            r"which is none of those pinned for one==1\.0: delete .* run this again",
        ),
        ("other-1.0-py3-none-any.whl", b"wheel", r"other-1\.0-py3-none-any\.whl is not pinned"),
        ("notes.txt", b"", r"notes\.txt is no package"),
    ],
)
def test_a_file_that_is_not_what_was_pinned_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WheelError, match=words):
        check([pin_of("one", "1.0", b"wheel")], tmp_path)


def test_a_pinned_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WheelError, match=r"one==1\.0: not in "):
        check([pin_of("one", "1.0", b"wheel")], tmp_path)


def test_sources_with_compiled_code_are_not_packaged(tmp_path: Path) -> None:
    source = tmp_path / "compiled-1.0"
    source.mkdir()
    (source / "setup.py").write_text(
        "from setuptools import Extension, setup\n"
        "setup(name='compiled', version='1.0', ext_modules=[Extension('none', [], optional=True)])\n"
    )
    (tmp_path / "built").mkdir()
    with pytest.raises(WheelError, match=r"compiled has compiled code .* it needs a published wheel"):
        build([source], tmp_path / "built")


@pytest.mark.parametrize("version", ["80.0.0", "none"])
def test_a_build_tool_other_than_is_pinned_is_named(version: str) -> None:
    name = "setuptools" if version != "none" else "no-such-tool"
    with pytest.raises(ToolError, match=rf"{name}==80\.0\.0 is pinned, and .* is installed: run `make setup`"):
        check_tools([Pin(name, "80.0.0", frozenset())])


def test_another_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    with pytest.raises(ToolError, match=r"is not CPython 3\.13"):
        check_tools([])


MISMATCH = """\
ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.
    requests==2.34.2 from file.whl (from -r x.txt (line 3)):
        Expected sha256 00
"""
NO_NETWORK = """\
WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('...')'
ERROR: Could not find a version that satisfies the requirement one==1 (from versions: none)
"""
NO_FILE = """\
ERROR: Could not find a version that satisfies the requirement one==1 (from versions: 0.9)
ERROR: No matching distribution found for one==1
"""


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (
            MISMATCH,
            "requests==2.34.2: a file is not what its hash says",
        ),
        (
            NO_NETWORK,
            "one==1: the package index does not answer. Is there a network",
        ),
        (
            NO_FILE,
            "one==1: the index has no file of it for Linux x86_64 and CPython 3.13",
        ),
        ("first\nerror: metadata-generation-failed", "pip says:\nfirst\nerror: metadata-generation-failed"),
    ],
)
def test_what_pip_says_is_told_in_words_that_say_what_to_do(output: str, words: str) -> None:
    assert explain(output).startswith(words)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip knows of packages."""
    for name in os.environ:
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {"CONFIG_FILE": os.devnull, "NO_INDEX": "1", "FIND_LINKS": str(folder), "RETRIES": "0"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    with zipfile.ZipFile(folder / "one-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("one.py", "")
        wheel.writestr("one-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: one\nVersion: 1.0\n")
        wheel.writestr("one-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("one-1.0.dist-info/RECORD", "")
    return folder


def test_what_was_fetched_once_is_not_fetched_again(index: Path, tmp_path: Path) -> None:
    wheel = index / "one-1.0-py3-none-any.whl"
    pins = [pin_of("one", "1.0", wheel.read_bytes())]
    first = fetch(pins, tmp_path / "cache")
    wheel.unlink()
    assert fetch(pins, tmp_path / "cache") == first
    assert [path.name for path in first.wheels] == [wheel.name]


def test_a_fetched_file_that_was_changed_is_refused(index: Path, tmp_path: Path) -> None:
    pins = [pin_of("one", "1.0", (index / "one-1.0-py3-none-any.whl").read_bytes())]
    fetch(pins, tmp_path / "cache").wheels[0].write_bytes(b"changed")
    with pytest.raises(WheelError, match=r"which is none of those pinned for one==1\.0"):
        fetch(pins, tmp_path / "cache")


@pytest.mark.parametrize("name", ["ROOT", "PREFIX", "USER", "NO_BINARY"])
def test_what_the_environment_tells_pip_puts_no_file_elsewhere(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pins = [pin_of("one", "1.0", (index / "one-1.0-py3-none-any.whl").read_bytes())]
    fetch(pins, tmp_path / "cache")
    values = {"ROOT": str(tmp_path / "other"), "PREFIX": str(tmp_path / "other"), "USER": "1", "NO_BINARY": ":all:"}
    monkeypatch.setenv(f"PIP_{name}", values[name])
    install(pins, [], tmp_path / "cache", tmp_path / "site-packages")
    assert (tmp_path / "site-packages" / "one.py").exists()
    assert not (tmp_path / "other").exists()


def test_a_package_that_pips_configuration_put_elsewhere_is_missed(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.conf").write_text(f"[install]\nroot = {tmp_path / 'other'}\n")
    pins = [pin_of("one", "1.0", (index / "one-1.0-py3-none-any.whl").read_bytes())]
    fetch(pins, tmp_path / "cache")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    with pytest.raises(WheelError, match=r"one==1\.0: pip installed them, but not into the package"):
        install(pins, [], tmp_path / "cache", tmp_path / "site-packages")


@pytest.mark.usefixtures("index")
def test_a_file_of_another_hash_is_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(WheelError, match=r"one==1\.0: a file is not what its hash says"):
        fetch([pin_of("one", "1.0", b"another")], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_package_that_is_for_another_platform_alone_is_named(index: Path, tmp_path: Path) -> None:
    wheel = (index / "one-1.0-py3-none-any.whl").rename(index / "one-1.0-cp313-cp313-win_amd64.whl")
    with pytest.raises(WheelError, match=r"one==1\.0: the index has no file of it for Linux x86_64 and CPython 3\.13"):
        fetch([pin_of("one", "1.0", wheel.read_bytes())], tmp_path / "cache")


@pytest.mark.usefixtures("index")
def test_an_index_that_does_not_answer_is_told_from_one_that_has_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    with pytest.raises(WheelError, match=r"two==1\.0: the package index does not answer"):
        fetch([pin_of("two", "1.0", b"")], tmp_path / "cache")
