"""Runs one target under atheris, until libFuzzer ends the process: `python -m tests.fuzz.guided TARGET OPTION ...`.

A process of its own, because atheris rewrites the modules that it watches when they are imported, and never returns.
"""

import importlib
import sys
from typing import Any

from tests.fuzz.replay import replay
from tests.fuzz.seeds import inputs
from tests.fuzz.targets import load

WATCHED = ["functions", "relay"]
"""The packages whose branches and comparisons guide the fuzzer."""


def main(target: str, *options: str) -> None:
    """Replay the target's corpus, then fuzz it with libFuzzer's options."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=WATCHED):
        check = load(target)
        mutation: Any = importlib.import_module("tests.fuzz.mutation")
        replay(target, check)
    mutate = mutation.Mutation(inputs(target).values())

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        made: bytes = mutate(data, most, seed, atheris.Mutate)
        return made

    atheris.Setup([target, *options], check, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
