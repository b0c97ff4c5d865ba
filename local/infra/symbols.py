"""Checks names within one Bicep file: each is declared once and used, nothing goes in a circle, outputs keep secrets.

Also what must be known when a deployment starts: names, conditions and loops of resources and modules.
"""

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from tree_sitter import Node

from local.infra.finding import Finding, at, did_you_mean
from local.infra.language import (
    AT_DEFAULTS_ONLY,
    BUILT_IN_TYPES,
    DECORATORS,
    IN_PARAMETER_FILES_ONLY,
    KNOWN_AT_START,
    NAMESPACES,
    NUMBER_DECORATORS,
    RESULTS,
)
from local.infra.parsing import (
    Document,
    Module,
    Parameter,
    Resource,
    Variable,
    entries,
    loop_of,
    parts,
    string_of,
    text_of,
    walk,
)

SECRET_NAME = re.compile("password|secret|token|accountkey|accesskey|connectionstring|functionkey", re.IGNORECASE)
NO_SECRET = re.compile("(name|uri|id|reference)s?$", re.IGNORECASE)
LISTS_SECRETS = re.compile(r"list[A-Z]\w*|list")


@dataclass(frozen=True)
class Use:
    """A place where a name is used as a value, or called."""

    name: str
    node: Node
    is_call: bool


def check(document: Document) -> Iterator[Finding]:
    """All findings on the names of one document."""
    yield from _declared_once(document)
    yield from _declared(document)
    yield from _used(document)
    yield from _decorated(document)
    yield from _types(document)
    yield from _in_circles(document)
    yield from _defaults(document)
    yield from _secrets(document)
    yield from _parents(document)
    yield from _known_at_start(document)


def count(document: Document) -> int:
    """How many symbols a document declares, outputs included."""
    return len(document.declared) + len(document.outputs)


def uses(node: Node, local: AbstractSet[str] = frozenset()) -> Iterator[Use]:
    """The names that an expression or declaration uses, but those of its own loops and lambdas."""
    inner = parts(node)
    match node.type:
        case "identifier":
            if text_of(node) not in local:
                yield Use(text_of(node), node, is_call=False)
        case "decorators" | "type" | "import_functionality":
            return
        case "member_expression":
            yield from uses(inner[0], local)
        case "resource_expression":
            yield from uses(inner[0], local)
            yield Use(text_of(inner[-1]), inner[-1], is_call=False)
        case "call_expression":
            function, rest = inner[0], inner[1:]
            if function.type == "identifier":
                yield Use(text_of(function), function, is_call=True)
            else:
                yield from uses(function, local)
            for one in rest:
                yield from uses(one, local)
        case "object_property" if len(inner) == 2:
            if inner[0].type != "identifier":
                yield from uses(inner[0], local)
            yield from uses(inner[1], local)
        case "for_statement":
            loop, body = loop_of(node)
            yield from uses(loop.array, local)
            yield from uses(body, local | {loop.item, loop.index})
        case "lambda_expression":
            names = {text_of(one) for part in inner[:-1] for one in walk(part) if one.type == "identifier"}
            yield from uses(inner[-1], local | names)
        case (
            "parameter_declaration"
            | "variable_declaration"
            | "resource_declaration"
            | "module_declaration"
            | "output_declaration"
            | "metadata_declaration"
        ):
            for one in inner[1:]:
                yield from uses(one, local)
        case "type_declaration" | "user_defined_function":
            return
        case _:
            for one in inner:
                yield from uses(one, local)


def _declared_once(document: Document) -> Iterator[Finding]:
    seen: dict[str, Node] = {}
    every: list[Parameter | Variable | Resource | Module] = [*document.parameters, *document.variables]
    every += [*document.resources, *document.modules]
    for one in every:
        if one.name in seen:
            line = seen[one.name].start_point[0] + 1
            yield at(document.path, one.node, f"{one.name} is declared at line {line} already")
        seen.setdefault(one.name, one.node)
    outputs: set[str] = set()
    for output in document.outputs:
        if output.name in outputs:
            yield at(document.path, output.node, f"the output {output.name} is declared already")
        outputs.add(output.name)


def _declared(document: Document) -> Iterator[Finding]:
    functions = set(RESULTS) | set(document.functions)
    if document.path.suffix != ".bicepparam":
        functions -= IN_PARAMETER_FILES_ONLY
    names = set(document.declared) | NAMESPACES
    for use in uses(document.root):
        if use.is_call and use.name not in functions:
            yield at(document.path, use.node, f"{use.name} is no function{did_you_mean(use.name, functions)}")
        elif not use.is_call and use.name not in names:
            near = did_you_mean(use.name, document.declared)
            yield at(
                document.path, use.node, f"{use.name} is not declared in this file{near if 'mean' in near else ''}"
            )
        elif use.name in AT_DEFAULTS_ONLY and use.is_call and not _is_in_default(use.node):
            yield at(document.path, use.node, f"{use.name}() is allowed in the default of a parameter only")


def _is_in_default(node: Node) -> bool:
    above: Node | None = node
    while above is not None:
        if above.type == "parameter_declaration":
            return True
        above = above.parent
    return False


def _used(document: Document) -> Iterator[Finding]:
    """Bicep's rules no-unused-params, no-unused-vars and no-unused-existing-resources."""
    used = {use.name for use in uses(document.root)}
    for one in document.declared.values():
        if one.name in used or document.path.suffix == ".bicepparam":
            continue
        match one:
            case Parameter():
                yield at(document.path, one.node, f"the parameter {one.name} is not used")
            case Variable():
                yield at(document.path, one.node, f"the variable {one.name} is not used")
            case Resource(is_existing=True):
                yield at(document.path, one.node, f"the existing resource {one.name} is not used")


def _decorated(document: Document) -> Iterator[Finding]:
    for one in walk(document.root):
        if one.type == "decorator":
            function = parts(one)[0].child_by_field_name("function")
            name = text_of(function).removeprefix("sys.").removeprefix("az.") if function else ""
            if name not in DECORATORS:
                yield at(document.path, one, f"@{name} is no decorator{did_you_mean(name, DECORATORS)}")
            arguments = parts(one)[0].child_by_field_name("arguments")
            due = "number" if name in NUMBER_DECORATORS else {"description": "string", "allowed": "array"}.get(name)
            if due and [part.type for part in (parts(arguments) if arguments else ())] != [due]:
                yield at(document.path, one, f"@{name} takes one {due}")


def _types(document: Document) -> Iterator[Finding]:
    known = {*document.types, *BUILT_IN_TYPES}
    for kind in walk(document.root):
        for one in walk(kind) if kind.type == "type" and kind.parent and kind.parent.type != "type" else ():
            if one.type == "identifier" and text_of(one) not in known:
                yield at(document.path, one, f"{text_of(one)} is no type{did_you_mean(text_of(one), known)}")


def _in_circles(document: Document) -> Iterator[Finding]:
    edges = {
        one.name: {use.name for use in uses(one.node) if use.name in document.declared}
        for one in document.declared.values()
    }
    for name, circle in circles(edges):
        yield at(document.path, document.declared[name].node, f"goes in a circle: {' -> '.join(circle)}")


def circles(edges: Mapping[str, AbstractSet[str]]) -> Iterator[tuple[str, list[str]]]:
    """Each circle once: its first name in alphabetical order, and the way round."""
    seen: set[frozenset[str]] = set()
    for start in sorted(edges):
        ways = [[start]]
        visited: set[str] = set()
        while ways:
            way = ways.pop()
            for following in sorted(edges.get(way[-1], set())):
                if following == start and frozenset(way) not in seen:
                    seen.add(frozenset(way))
                    yield start, [*way, start]
                if following not in visited and following in edges and following > start:
                    visited.add(following)
                    ways.append([*way, following])


def _defaults(document: Document) -> Iterator[Finding]:
    """A parameter's default may use other parameters only, and a secure one is not written out."""
    for parameter in document.parameters:
        for use in uses(parameter.default) if parameter.default else ():
            if isinstance(document.declared.get(use.name), Variable | Resource | Module) and not use.is_call:
                message = f"the default of {parameter.name} uses {use.name}; allowed are parameters only"
                yield at(document.path, use.node, message)
        if "secure" in parameter.decorators and parameter.default:
            text = string_of(parameter.default)
            if text != "" and not (
                parameter.default.type == "call_expression" and "newGuid" in text_of(parameter.default)
            ):
                yield at(document.path, parameter.node, f"{parameter.name} is @secure and has a default; leave it out")


def _secrets(document: Document) -> Iterator[Finding]:
    """Bicep's rules outputs-should-not-contain-secrets and secure-secrets-in-params: by what is used, and by name."""
    secure = {one.name for one in document.parameters if "secure" in one.decorators}
    for parameter in document.parameters:
        if parameter.name not in secure and _is_named_like_a_secret(parameter.name):
            yield at(document.path, parameter.node, f"{parameter.name} is named like a secret and is not @secure")
    for output in document.outputs:
        if "secure" in output.decorators:
            continue
        if _is_named_like_a_secret(output.name):
            yield at(document.path, output.node, f"the output {output.name} is named like a secret")
        for name in sorted(_reached(output.value, document) & secure):
            yield at(document.path, output.node, f"the output {output.name} shows the secure parameter {name}")
        for call in walk(output.value):
            function = call.child_by_field_name("function") if call.type == "call_expression" else None
            if function and LISTS_SECRETS.fullmatch(text_of(function).rpartition(".")[2]):
                yield at(document.path, call, f"the output {output.name} shows what {text_of(function)} lists")


def _is_named_like_a_secret(name: str) -> bool:
    return bool(SECRET_NAME.search(name)) and not NO_SECRET.search(name)


def _reached(node: Node, document: Document) -> set[str]:
    """The names that an expression uses, also by way of variables."""
    reached: set[str] = set()
    open_nodes = [node]
    while open_nodes:
        for use in uses(open_nodes.pop()):
            declared = document.declared.get(use.name)
            if declared and use.name not in reached:
                reached.add(use.name)
                open_nodes += [declared.value] if isinstance(declared, Variable) else []
    return reached


def _parents(document: Document) -> Iterator[Finding]:
    """The parent of a resource is of the type above its own, and a child without a parent has its whole name."""
    for resource in document.resources:
        given = entries(resource.body)
        above = resource.type.rpartition("/")[0]
        if resource.within:
            continue
        parent = given.get("parent")
        base = parent.child_by_field_name("object") if parent and parent.type == "subscript_expression" else parent
        if parent is None or base is None:
            if resource.type.count("/") > 1 and resource.body:
                name = text_of(given["name"]) if "name" in given else ""
                hint = (
                    "" if name.count("/") == resource.type.count("/") - 1 else f", and its name is {name or 'missing'}"
                )
                yield at(document.path, resource.node, f"{resource.name} is part of a {above} and has no parent{hint}")
            continue
        declared = document.declared.get(text_of(base).rpartition("::")[2])
        if not isinstance(declared, Resource) or declared.type.lower() != above.lower():
            what = declared.type if isinstance(declared, Resource) else "no resource"
            yield at(document.path, parent, f"the parent of {resource.name} is {what}; allowed is a {above}")


def _known_at_start(document: Document) -> Iterator[Finding]:
    """Names, conditions and loops may not use what is known only when another resource is deployed."""
    every: list[Resource | Module] = [*document.resources, *document.modules]
    for one in every:
        given = entries(one.body)
        places = [("name", given.get("name")), *(("condition", node) for node in one.conditions)]
        places += [("loop", loop.array) for loop in one.loops]
        if isinstance(one, Module):
            places.append(("scope", given.get("scope")))
        for place, node in places:
            for late in _late(node, document, frozenset()) if node else ():
                message = f"the {place} of {one.name} needs {late}, which is not known when the deployment starts"
                yield at(document.path, node or one.node, message)
    for variable in document.variables:
        if variable.value.type == "for_statement":
            for late in _late(variable.value, document, frozenset()):
                message = f"the loop of {variable.name} needs {late}, which is not known when the deployment starts"
                yield at(document.path, variable.node, message)


def _late(node: Node, document: Document, seen: frozenset[str]) -> Iterator[str]:
    """What an expression reads of resources and modules that is known only when these are deployed."""
    if node.type == "member_expression":
        of, name = parts(node)[0], text_of(parts(node)[-1])
        base = of.child_by_field_name("object") if of.type == "subscript_expression" else of
        declared = document.declared.get(text_of(base).rpartition("::")[2]) if base else None
        if isinstance(declared, Module) and name != "name":
            yield f"{declared.name}.{name}"
            return
        if isinstance(declared, Resource):
            if name not in KNOWN_AT_START:
                yield f"{declared.name}.{name}"
            return
        yield from _late(of, document, seen)
        return
    if node.type == "call_expression" and text_of(parts(node)[0]).rpartition(".")[2] == "reference":
        yield "reference()"
    if node.type == "object_property" and len(parts(node)) == 2:
        yield from _late(parts(node)[1], document, seen)
        return
    declared = document.declared.get(text_of(node)) if node.type == "identifier" else None
    if isinstance(declared, Variable) and declared.name not in seen:
        yield from _late(declared.value, document, seen | {declared.name})
    for child in parts(node):
        yield from _late(child, document, seen)
