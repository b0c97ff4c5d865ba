"""Compares resource bodies, and what is read from resources, with the types of Azure's resources.

What an expression is worth is taken as far as values.py knows it; the rest is taken for right.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tree_sitter import Node

from local.infra.finding import Finding, at, did_you_mean, listed
from local.infra.parsing import Document, Loop, Resource, text_of, walk
from local.infra.resource_types import (
    ListShape,
    Plain,
    Property,
    Record,
    ResourceType,
    Shape,
    Tagged,
    TextShape,
    WholeShape,
)
from local.infra.values import Fields, Items, Literal, Scope, Text, Value, Whole, kind_of, located, possible

BICEPS_OWN = {"parent", "scope", "dependsOn"}
OF_EXISTING = {"name", "parent", "scope"}
MAX_DEPTH = 40


def compare(document: Document, scope: Scope, types: Mapping[str, ResourceType]) -> Iterator[Finding]:
    """What is wrong in the resource bodies of a document. `types` is by name in lower case."""
    for resource in document.resources:
        kind = types.get(resource.type.lower())
        if kind is None:
            yield at(document.path, resource.node, f"no type of {resource.type} is at hand to compare the body with")
            continue
        yield from compare_resource(document, resource, scope, kind)
    yield from compare_readings(document, types)


def compare_resource(document: Document, resource: Resource, scope: Scope, kind: ResourceType) -> Iterator[Finding]:
    """What is wrong in one resource's type, version and body."""
    path = document.path
    if resource.type != kind.name and resource.type.lower() == kind.name.lower():
        yield at(path, resource.node, f"{resource.type} is written {kind.name}")
    if resource.version != kind.version:
        used = resource.version or "no version"
        yield at(
            path, resource.node, f"{resource.type} is used at {used}; the type at hand is of {kind.version}, use that"
        )
    if resource.body is None:
        return
    inside = scope.within(_loops_around(resource))
    if resource.is_existing:
        yield from _existing(resource, inside, kind)
        return
    seen = set()
    for value in possible(resource.body, inside):
        for finding in _compare(value, kind.body, kind, inside, resource.name, 0):
            if finding not in seen:
                seen.add(finding)
                yield finding


def _existing(resource: Resource, scope: Scope, kind: ResourceType) -> Iterator[Finding]:
    """An existing resource is named, and nothing of it is changed."""
    body = kind.resolved(kind.body)
    due = body.properties.get("name") if isinstance(body, Record) else None
    for value in possible(resource.body, scope) if resource.body else ():
        for name, (key, node) in value.entries.items() if isinstance(value, Fields) else ():
            if name not in OF_EXISTING:
                message = f"{name} is given for an existing resource; allowed are {listed(OF_EXISTING)}"
                yield located(key, scope, message)
            if name == "name" and due:
                for one in possible(node, scope):
                    yield from _compare(one, due.shape, kind, scope, f"{resource.name}.name", 1)


def count_properties(document: Document) -> int:
    """How many properties the bodies of a document's resources have."""
    bodies = [resource.body for resource in document.resources if resource.within is None and resource.body]
    return sum(node.type == "object_property" for body in bodies for node in walk(body))


def compare_readings(document: Document, types: Mapping[str, ResourceType]) -> Iterator[Finding]:
    """A finding for each `RESOURCE.a.b.c` of which a part is not in the resource's type."""
    for node in walk(document.root):
        is_whole = node.parent is None or node.parent.type != "member_expression" or node.parent.children[0] != node
        if node.type != "member_expression" or not is_whole:
            continue
        base, names = _chain(node)
        declared = document.declared.get(text_of(base).rpartition("::")[2]) if base else None
        kind = types.get(declared.type.lower()) if isinstance(declared, Resource) else None
        if kind and not (node.parent and node.parent.type == "call_expression" and node.parent.children[0] == node):
            yield from _reading(kind.body, names, kind, document.path)


def _chain(node: Node) -> tuple[Node | None, list[Node]]:
    """The resource at the beginning of `RESOURCE.a.b.c`, and the nodes of a, b and c; no resource: something else."""
    names: list[Node] = []
    while node.type == "member_expression":
        of, name = node.child_by_field_name("object"), node.child_by_field_name("property")
        if of is None or name is None:
            return None, []
        names.insert(0, name)
        node = of
    if node.type == "subscript_expression":
        of = node.child_by_field_name("object")
        node = of or node
    return (node if node.type in {"identifier", "resource_expression"} else None), names


def _reading(shape: Shape, names: Sequence[Node], kind: ResourceType, path: Path) -> Iterator[Finding]:
    for place, name in enumerate(names):
        shape = kind.resolved(shape)
        if not isinstance(shape, Record):
            return
        found = shape.properties.get(text_of(name))
        if found is None:
            if shape.more is None:
                whole = ".".join(text_of(one) for one in names[: place + 1])
                yield at(path, name, f"{kind.name} has no {whole}{did_you_mean(text_of(name), shape.properties)}")
            return
        if found.is_write_only:
            yield at(path, name, f"{text_of(name)} of {kind.name} can be written, not read")
        shape = found.shape


def _loops_around(resource: Resource) -> tuple[Loop, ...]:
    return (*(_loops_around(resource.within) if resource.within else ()), *resource.loops)


def _compare(
    value: Value, shape: Shape, kind: ResourceType, origin: Scope, where: str, depth: int
) -> Iterator[Finding]:
    """What is wrong with a value where this shape is due.

    `origin` is the scope of the resource, and `where` the property's path, for the message.
    """
    shape = kind.resolved(shape)
    if depth > MAX_DEPTH or kind_of(value) in {"any", "null"}:
        return
    due = _kind_due(shape)
    if due not in {"any", kind_of(value)}:
        yield located(value.node, origin, f"{where} is given {_shown(value)}; allowed is {_article(due)}")
        return
    match shape, value:
        case TextShape(), Literal() | Text():
            yield from _compare_text(value, shape, origin, where)
        case WholeShape(), Literal() | Whole():
            yield from _compare_number(value, shape, origin, where)
        case ListShape(item=item), Items():
            for node, scope in value.items:
                for one in possible(node, scope):
                    yield from _compare(one, item, kind, origin, f"{where}[]", depth + 1)
        case Record(), Fields():
            yield from _compare_fields(value, shape, kind, origin, where, depth)
        case Tagged(), Fields():
            yield from _compare_tagged(value, shape, kind, origin, where, depth)


def _compare_fields(
    value: Fields, record: Record, kind: ResourceType, origin: Scope, where: str, depth: int
) -> Iterator[Finding]:
    is_body = depth == 0
    for name, (key, node) in value.entries.items():
        if is_body and name in BICEPS_OWN:
            continue
        found = record.properties.get(name) or (Property(record.more) if record.more else None)
        if found is None:
            yield located(
                key, origin, f"{where}.{name} is no property of {kind.name}{did_you_mean(name, record.properties)}"
            )
        elif found.is_read_only and not found.is_required:
            yield located(key, origin, f"{where}.{name} is read-only: Azure sets it; leave it out")
        else:
            for one in possible(node, value.scope):
                if isinstance(one, Literal) and one.value is None and found.is_required:
                    yield located(node, origin, f"{where}.{name} is null; it is required")
                yield from _compare(one, found.shape, kind, origin, f"{where}.{name}", depth + 1)
    if not value.is_open:
        for name, found in record.properties.items():
            if found.is_required and not found.is_read_only and name not in value.entries:
                yield located(value.node, origin, f"{where}.{name} is missing; it is required")


def _compare_tagged(
    value: Fields, shape: Tagged, kind: ResourceType, origin: Scope, where: str, depth: int
) -> Iterator[Finding]:
    if shape.tag not in value.entries:
        yield located(value.node, origin, f"{where}.{shape.tag} is missing; allowed are {listed(shape.records)}")
        return
    node = value.entries[shape.tag][1]
    for one in possible(node, value.scope):
        if not isinstance(one, Literal):
            continue
        record = shape.records.get(str(one.value))
        if record is None:
            yield located(
                node, origin, f"{where}.{shape.tag} is {_shown(one)}{did_you_mean(str(one.value), shape.records)}"
            )
        else:
            yield from _compare_fields(value, record, kind, origin, where, depth)


def _compare_text(value: Literal | Text, shape: TextShape, origin: Scope, where: str) -> Iterator[Finding]:
    if isinstance(value, Literal):
        text = str(value.value)
        if shape.choices and text not in shape.choices:
            yield located(value.node, origin, f"{where} is {_shown(value)}{did_you_mean(text, shape.choices)}")
        if shape.pattern and not re.search(shape.pattern, text):
            yield located(value.node, origin, f"{where} is {_shown(value)}; allowed is what matches {shape.pattern}")
        least, most = len(text), len(text)
    else:
        # Of a text that nothing bounds from above there is nothing to say; of one made of bounded parts there is.
        least, most = (shape.least or 0 if value.most is None else value.least), value.most or 0
    if shape.most is not None and most > shape.most:
        yield located(value.node, origin, f"{where} may have {most} characters; allowed are at most {shape.most}")
    if shape.least is not None and least < shape.least:
        yield located(value.node, origin, f"{where} may have {least} characters; allowed are at least {shape.least}")


def _compare_number(value: Literal | Whole, shape: WholeShape, origin: Scope, where: str) -> Iterator[Finding]:
    least, most = (value.least, value.most) if isinstance(value, Whole) else (value.value, value.value)
    if shape.most is not None and isinstance(most, int) and most > shape.most:
        yield located(value.node, origin, f"{where} may be {most}; allowed is at most {shape.most}")
    if shape.least is not None and isinstance(least, int) and least < shape.least:
        yield located(value.node, origin, f"{where} may be {least}; allowed is at least {shape.least}")


def _kind_due(shape: Shape) -> str:
    match shape:
        case TextShape():
            return "string"
        case WholeShape():
            return "int"
        case ListShape():
            return "array"
        case Record() | Tagged():
            return "object"
        case Plain(kind=kind):
            return kind
    return "any"


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aio" else f"a {kind}"


def _shown(value: Value) -> str:
    if isinstance(value, Literal):
        return f"'{value.value}'" if isinstance(value.value, str) else str(value.value).lower()
    return _article(kind_of(value))
