"""Reads Bicep files: their syntax trees, and what each declares. It does not know what a declaration means.

A .bicepparam file has a grammar of its own that the parser lacks: `param NAME = VALUE` is read as `var NAME = VALUE`,
blank for blank, so that lines stay where they are.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

from local.infra.finding import Finding, at

LANGUAGE = Language(tree_sitter_bicep.language())
ASSIGNED_PARAMETER = re.compile(rb"^param(?=\s+\w+\s*=)", re.MULTILINE)
PASSED_OVER = {"comment", "diagnostic_comment"}
MAX_SHOWN = 60


@dataclass(frozen=True)
class Parameter:
    """`param NAME TYPE = DEFAULT`, with its decorators by name, each with its arguments."""

    name: str
    node: Node
    type: Node | None
    default: Node | None
    decorators: Mapping[str, tuple[Node, ...]]


@dataclass(frozen=True)
class Variable:
    """`var NAME = VALUE`; in a .bicepparam file also a parameter's value."""

    name: str
    node: Node
    value: Node


@dataclass(frozen=True)
class Loop:
    """`for ITEM in ARRAY` or `for (ITEM, INDEX) in ARRAY`."""

    item: str
    index: str
    array: Node


@dataclass(frozen=True)
class Resource:
    """A resource; `type` has its whole name, also where the resource stands in another's body."""

    name: str
    node: Node
    type: str
    version: str
    is_existing: bool
    body: Node | None
    conditions: tuple[Node, ...]
    loops: tuple[Loop, ...]
    within: "Resource | None"


@dataclass(frozen=True)
class Module:
    """A module and the file that it names, relative to the file in which it stands."""

    name: str
    node: Node
    path: str
    body: Node | None
    conditions: tuple[Node, ...]
    loops: tuple[Loop, ...]


@dataclass(frozen=True)
class Output:
    """`output NAME TYPE = VALUE`."""

    name: str
    node: Node
    type: Node | None
    value: Node
    decorators: Mapping[str, tuple[Node, ...]]


@dataclass(frozen=True)
class Document:
    """A file, and what it declares in the order of the file. `using` is the template of a .bicepparam file."""

    path: Path
    root: Node
    parameters: tuple[Parameter, ...] = ()
    variables: tuple[Variable, ...] = ()
    resources: tuple[Resource, ...] = ()
    modules: tuple[Module, ...] = ()
    outputs: tuple[Output, ...] = ()
    types: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    using: str = ""
    declared: Mapping[str, Parameter | Variable | Resource | Module] = field(default_factory=dict)


def read(path: Path) -> Document:
    """The document in a .bicep or .bicepparam file."""
    return parse(path, path.read_bytes())


def parse(path: Path, text: bytes) -> Document:
    """The document in `text`; the ending of `path` says which of the two languages it is."""
    if path.suffix == ".bicepparam":
        text = ASSIGNED_PARAMETER.sub(b"var  ", text)
    root = Parser(LANGUAGE).parse(text).root_node
    parameters, variables, modules, outputs = [], [], [], []
    resources: list[Resource] = []
    types, functions, using = [], [], ""
    decorators: Mapping[str, tuple[Node, ...]] = {}
    for node in parts(root):
        inner = parts(node)
        match node.type:
            case "decorators":
                decorators = _decorators(node)
                continue
            case "parameter_declaration" if inner:
                kind = next((one for one in inner if one.type == "type"), None)
                default = inner[-1] if len(inner) > 1 and inner[-1].type != "type" else None
                parameters.append(Parameter(text_of(inner[0]), node, kind, default, decorators))
            case "variable_declaration" if len(inner) > 1:
                variables.append(Variable(text_of(inner[0]), node, inner[-1]))
            case "resource_declaration":
                resources.extend(_resources(node, None))
            case "module_declaration" if len(inner) > 2:
                body, conditions, loops = _unfold(inner[2])
                modules.append(Module(text_of(inner[0]), node, string_of(inner[1]) or "", body, conditions, loops))
            case "output_declaration" if len(inner) > 1:
                kind = next((one for one in inner if one.type == "type"), None)
                outputs.append(Output(text_of(inner[0]), node, kind, inner[-1], decorators))
            case "type_declaration" if inner:
                types.append(text_of(inner[0]))
            case "user_defined_function" if inner:
                functions.append(text_of(inner[0]))
            case "using_statement" if inner:
                using = string_of(inner[0]) or ""
        decorators = {}
    every: list[Parameter | Variable | Resource | Module] = [*parameters, *variables, *resources, *modules]
    return Document(
        path=path,
        root=root,
        parameters=tuple(parameters),
        variables=tuple(variables),
        resources=tuple(resources),
        modules=tuple(modules),
        outputs=tuple(outputs),
        types=tuple(types),
        functions=tuple(functions),
        using=using,
        declared={one.name: one for one in every},
    )


def syntax(document: Document) -> Iterator[Finding]:
    """A finding for each place that the grammar does not take."""
    for node in walk(document.root):
        if node.is_error or node.is_missing:
            shown = text_of(node).strip().splitlines() or [""]
            what = f"{node.type} is missing" if node.is_missing else f"this is no Bicep: {shown[0][:MAX_SHOWN]!r}"
            yield at(document.path, node, what)


def parts(node: Node) -> list[Node]:
    """The named children but comments."""
    return [child for child in node.named_children if child.type not in PASSED_OVER]


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, in the order of the text."""
    yield node
    for child in node.children:
        yield from walk(child)


def text_of(node: Node) -> str:
    """The node's text."""
    return (node.text or b"").decode()


def string_of(node: Node) -> str | None:
    """The value of a string without interpolations; None when the node is no such string."""
    if node.type != "string" or any(part.type not in {"string_content", "escape_sequence"} for part in parts(node)):
        return None
    text = text_of(node)
    if text.startswith("'''"):
        return text[3:-3].removeprefix("\n")
    return unescaped(text[1:-1])


def unescaped(text: str) -> str:
    r"""A string's text with its escapes resolved: \\ \' \n \r \t \$ and \u{...}."""
    known = {"n": "\n", "r": "\r", "t": "\t"}

    def resolved(match: re.Match[str]) -> str:
        return chr(int(match[1], 16)) if match[1] else known.get(match[2], match[2])

    return re.sub(r"\\(?:u\{([0-9a-fA-F]+)\}|(.))", resolved, text)


def entries(node: Node | None) -> dict[str, Node]:
    """The properties of an object whose names are written out, by name."""
    found = {}
    for one in parts(node) if node else []:
        inner = parts(one)
        if one.type == "object_property" and len(inner) == 2:
            key = text_of(inner[0]) if inner[0].type == "identifier" else string_of(inner[0])
            if key is not None:
                found[key] = inner[1]
    return found


def loop_of(node: Node) -> tuple[Loop, Node]:
    """The loop of a for_statement, and what is made for each item."""
    first, array, body = parts(node)[:3]
    names = [text_of(one) for one in parts(first)] if first.type == "for_loop_parameters" else [text_of(first)]
    return Loop(names[0], names[1] if len(names) > 1 else "", array), body


def _unfold(node: Node) -> tuple[Node | None, tuple[Node, ...], tuple[Loop, ...]]:
    """A body's object, the conditions and the loops around it."""
    conditions, loops = [], []
    while node.type in {"for_statement", "if_statement"}:
        if node.type == "for_statement":
            loop, node = loop_of(node)
            loops.append(loop)
        else:
            condition, node = parts(node)[:2]
            conditions.append(condition)
    return (node if node.type == "object" else None), tuple(conditions), tuple(loops)


def _resources(node: Node, within: Resource | None) -> Iterator[Resource]:
    """The resource that a declaration makes, and those that stand in its body."""
    inner = parts(node)
    if len(inner) < 3:
        return
    kind, _, version = (string_of(inner[1]) or "").partition("@")
    if within:
        kind, version = f"{within.type}/{kind}", version or within.version
    body, conditions, loops = _unfold(inner[2])
    is_existing = any(child.type == "existing" for child in node.children)
    made = Resource(text_of(inner[0]), node, kind, version, is_existing, body, conditions, loops, within)
    yield made
    for one in parts(body) if body else []:
        for nested in parts(one):
            if nested.type == "resource_declaration":
                yield from _resources(nested, made)


def _decorators(node: Node) -> dict[str, tuple[Node, ...]]:
    found = {}
    for decorator in parts(node):
        call = parts(decorator)[0]
        function = call.child_by_field_name("function")
        arguments = call.child_by_field_name("arguments")
        if function:
            found[text_of(function).rpartition(".")[2]] = tuple(parts(arguments)) if arguments else ()
    return found
