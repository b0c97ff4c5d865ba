"""Short Bicep files for the tests of local/infra, and what its checks say of them."""

from collections.abc import Mapping
from pathlib import Path

from local.infra import bodies, modules
from local.infra.__main__ import check_symbols
from local.infra.parsing import Document, parse, syntax
from local.infra.written_types import written_types

MAIN = "infra/main.bicep"


def documents(files: Mapping[str, str] | str) -> dict[Path, Document]:
    """The documents of these files, by path; a text alone is main.bicep."""
    named = {MAIN: files} if isinstance(files, str) else files
    return {Path(path): parse(Path(path), text.encode()) for path, text in named.items()}


def said(files: Mapping[str, str] | str) -> list[str]:
    """What the checks of syntax say, and where they say nothing, the checks of names and modules."""
    read = documents(files)
    found = [one for document in read.values() for one in syntax(document)] or check_symbols(read)
    return [str(finding) for finding in found]


def said_of_bodies(files: Mapping[str, str] | str, types: Mapping[str, Mapping[str, Mapping[str, str]]]) -> list[str]:
    """What the comparison of bodies with these types says. The types are written as in local/infra/written_types.py."""
    read = documents(files)
    assert [str(one) for document in read.values() for one in syntax(document)] == []
    scopes = modules.scopes(read)
    known = written_types(types)
    return [str(one) for path, document in read.items() for one in bodies.compare(document, scopes[path], known)]
