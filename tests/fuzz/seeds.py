"""The corpus: inputs in files that are named by what they are, a folder for each target."""

from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")


def inputs(target: str) -> dict[str, bytes]:
    """The inputs of a target, by name."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / target).iterdir())}
