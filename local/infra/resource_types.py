"""The types of Azure's resources: what may stand in a resource's body. It knows no template.

They are the Bicep compiler's own, which the Azure MCP server (msmcp-azure, MIT) ships and prints without a network:
`azmcp bicepschema get --resource-type TYPE`, always of the newest API version that it knows. It lacks a few; these are
written down in written_types.py.
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRIMITIVES = {"string", "int", "bool", "object", "array", "any", "null"}
BOUND = re.compile(r"(minLength|maxLength|minValue|maxValue): (-?\d+)")
PATTERN = re.compile(r"pattern: (.*?)(?:, sensitive)?$")
TIMEOUT_S = 60


class TypesError(Exception):
    """The types cannot be had; the message says what to do."""


@dataclass(frozen=True)
class Plain:
    """Any value of one of PRIMITIVES."""

    kind: str


@dataclass(frozen=True)
class TextShape:
    """A string within bounds of length (characters) and of a pattern, or one of `choices` where there are any."""

    least: int | None = None
    most: int | None = None
    pattern: str = ""
    choices: frozenset[str] = frozenset()


@dataclass(frozen=True)
class WholeShape:
    """A whole number within bounds."""

    least: int | None = None
    most: int | None = None


@dataclass(frozen=True)
class ListShape:
    """An array of items of one shape."""

    item: "Shape"


@dataclass(frozen=True)
class Named:
    """The shape of this name in the same resource type."""

    name: str


@dataclass(frozen=True)
class Property:
    """A property of an object."""

    shape: "Shape"
    is_required: bool = False
    is_read_only: bool = False
    is_write_only: bool = False


@dataclass(frozen=True)
class Record:
    """An object with these properties, and where `more` is given any others of that shape."""

    properties: Mapping[str, Property]
    more: "Shape | None" = None


@dataclass(frozen=True)
class Tagged:
    """One of several objects, told apart by the value of the property `tag`."""

    tag: str
    records: Mapping[str, Record]


Shape = Plain | TextShape | WholeShape | ListShape | Named | Record | Tagged
ANY = Plain("any")


@dataclass(frozen=True)
class ResourceType:
    """A resource type at one API version. `source` says who wrote it down: `azmcp` or a page's address."""

    name: str
    version: str
    body: Shape
    shapes: Mapping[str, Shape]
    source: str

    def resolved(self, shape: Shape) -> Shape:
        """The shape that a name stands for; the shape itself when it is no name."""
        return self.shapes.get(shape.name, ANY) if isinstance(shape, Named) else shape


def ask(azmcp: Path, name: str, cache: Path) -> ResourceType | None:
    """The type of this name, from the cache or by running azmcp (about a second); None when azmcp lacks it.

    Raises TypesError.
    """
    kept = cache / f"{name.lower().replace('/', '_')}.json"
    if not kept.exists():
        answer = run(azmcp, "bicepschema", "get", "--resource-type", name)
        try:
            read_answer(json.loads(answer))
        except ValueError as error:
            raise TypesError(f"azmcp's answer for {name} is not understood: {error}") from error
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_suffix(f".{os.getpid()}")
        unfinished.write_text(answer)
        unfinished.replace(kept)
    return read_answer(json.loads(kept.read_text()))


def run(azmcp: Path, *arguments: str) -> str:
    """What azmcp prints. It is kept from sending telemetry. Raises TypesError."""
    if not azmcp.exists():
        raise TypesError(
            f"{azmcp.name} is not at {azmcp}: the package msmcp-azure has no binary for this platform. It has "
            "for Linux, macOS and Windows on x86-64 and arm64; run `make infra` on one of these"
        )
    try:
        return subprocess.run(
            [str(azmcp), *arguments],
            env={**os.environ, "AZURE_MCP_COLLECT_TELEMETRY": "false"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TypesError(f"{azmcp} does not run on this platform: {error}") from error


def read_answer(answer: Mapping[str, Any]) -> ResourceType | None:
    """The type in an answer of `azmcp bicepschema get`; None where it says that it has none.

    Raises ValueError when it is another answer.
    """
    if answer.get("status") == 500 and re.search("not found|not supported", str(answer.get("message"))):
        return None
    try:
        written = answer["results"]["BicepSchemaResult"]
        resource = next(one for one in written if one["$type"] == "Resource")
        name, _, version = resource["name"].partition("@")
        named = [one for one in written if one["$type"] in {"Object", "DiscriminatedObject"}]
        names = {one["name"] for one in named}
        shapes = {one["name"]: _shape(one, names) for one in named}
        return ResourceType(name, version, _shape(resource["bodyType"], names), shapes, "azmcp")
    except (KeyError, TypeError, StopIteration) as error:
        raise ValueError(f"{type(error).__name__} {error}, status {answer.get('status')}") from error


def read_text(text: str, names: frozenset[str] | set[str], modifiers: str = "") -> Shape:
    """The shape in a type's text: `string`, `A | B`, `A | B | string`, `int[]`, or the name of another shape.

    `A | B | string` is what the compiler takes with any string; here only the known values pass.
    """
    bounds = {name: int(number) for name, number in BOUND.findall(modifiers)}
    if text.endswith("[]"):
        return ListShape(read_text(text[:-2], names))
    if text == "string":
        pattern = PATTERN.search(modifiers)
        return TextShape(bounds.get("minLength"), bounds.get("maxLength"), pattern[1] if pattern else "")
    if text == "int":
        return WholeShape(bounds.get("minValue"), bounds.get("maxValue"))
    if text in PRIMITIVES:
        return Plain(text)
    if text in names:
        return Named(text)
    choices = [choice for choice in text.split(" | ") if choice != "string"]
    # One of the values may have the name of a shape, as UserAssignedIdentity has; where all have, they are shapes.
    if all(choice in names or choice in PRIMITIVES for choice in choices):
        return ANY
    return TextShape(choices=frozenset(choices))


def _shape(written: Mapping[str, Any], names: set[str]) -> Shape:
    if written["$type"] == "DiscriminatedObject":
        base = _properties(written["baseProperties"], names)
        tag = written["discriminator"]
        records = {}
        for one in written["elements"]:
            record = Record({**base, **_properties(one["properties"], names)}, _more(one, names))
            shape = record.properties[tag].shape
            for choice in shape.choices if isinstance(shape, TextShape) else ():
                records[choice] = record
        return Tagged(tag, records)
    return Record(_properties(written["properties"], names), _more(written, names))


def _more(written: Mapping[str, Any], names: set[str]) -> Shape | None:
    text = written.get("additionalPropertiesType")
    return read_text(text, names) if text else None


def _properties(written: list[Mapping[str, Any]], names: set[str]) -> dict[str, Property]:
    found = {}
    for one in written:
        flags = set((one.get("flags") or "").split(", "))
        found[one["name"]] = Property(
            read_text(one["type"], names, one.get("modifiers") or ""),
            is_required="Required" in flags,
            is_read_only="ReadOnly" in flags,
            is_write_only="WriteOnly" in flags,
        )
    return found
