"""Replays the corpus of one target without atheris: `python -m tests.fuzz.replay TARGET`.

For targets that need a process of their own.
"""

import sys

from tests.fuzz.seeds import inputs
from tests.fuzz.targets import Check, load


def replay(target: str, check: Check) -> int:
    """Put every input of the corpus through the target's check; how many there were. Its error names the input."""
    corpus = inputs(target)
    for name, data in corpus.items():
        try:
            check(data)
        except Exception as error:
            error.add_note(f"brought about by {target}/{name}")
            raise
    return len(corpus)


def main(target: str) -> None:
    """Replay one target's corpus, and say how many inputs that were."""
    print(f"{replay(target, load(target))} inputs replayed")


if __name__ == "__main__":
    main(*sys.argv[1:])
