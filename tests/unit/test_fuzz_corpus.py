"""The fuzzer's corpus, replayed without the fuzzer: every input goes through its target."""

import os
import subprocess
import sys

import pytest

from local.processes import ROOT
from tests.fuzz.seeds import CORPUS, inputs
from tests.fuzz.targets import TARGETS, load

IN_PROCESS = [name for name in TARGETS if name != "ledger-events"]
MAX_CORPUS_BYTES = 300_000


@pytest.mark.parametrize(("target", "name"), [(target, name) for target in IN_PROCESS for name in inputs(target)])
def test_an_input_of_the_corpus_brings_about_nothing_that_must_not_be(target: str, name: str) -> None:
    load(target)(inputs(target)[name])


def test_the_requests_of_the_corpus_bring_about_nothing_that_must_not_be(tables: str) -> None:
    """In a process of their own: the library that runs the app moves its process into the app's folder."""
    replayed = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.replay", "ledger-events"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'webjob'}", "FUZZED_TABLES": tables},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert replayed.stdout == f"{len(inputs('ledger-events'))} inputs replayed\n"


def test_every_target_has_a_corpus_and_all_of_them_are_small() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == TARGETS.keys()
    assert all(inputs(target) for target in TARGETS)
    assert sum(len(data) for target in TARGETS for data in inputs(target).values()) < MAX_CORPUS_BYTES
