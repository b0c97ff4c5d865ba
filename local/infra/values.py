"""What can be known of an expression before a deployment: its literal values, else its kind and its length.

Parameters are followed to what the calling module, or a .bicepparam file, gives them; variables, conditions, loops over
written lists and interpolations to what they are made of. What depends on Azure is only a kind, or anything.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tree_sitter import Node

from local.infra.finding import Finding, at
from local.infra.language import RESULTS
from local.infra.parsing import (
    Document,
    Loop,
    Module,
    Parameter,
    Resource,
    Variable,
    loop_of,
    parts,
    string_of,
    text_of,
)

KINDS = ("string", "int", "bool", "array", "object")
COMPARED = {"==", "!=", "=~", "!~", "<", "<=", ">", ">=", "&&", "||"}
MAX_DEPTH = 24
MAX_COMBINATIONS = 64


@dataclass(frozen=True)
class Literal:
    """A value that is written out."""

    value: str | int | bool | None
    node: Node


@dataclass(frozen=True)
class Text:
    """A string of which the length in characters is known at most; `most` is None where there is no end."""

    least: int
    most: int | None
    node: Node


@dataclass(frozen=True)
class Whole:
    """A whole number between two bounds, where there are any."""

    least: int | None
    most: int | None
    node: Node


@dataclass(frozen=True)
class Some:
    """A value of a kind, or of kind `any`."""

    kind: str
    node: Node


@dataclass(frozen=True)
class Items:
    """An array whose items are written out; each stands in a scope of its own."""

    items: "tuple[tuple[Node, Scope], ...]"
    node: Node


@dataclass(frozen=True)
class Fields:
    """An object whose properties are written out; an open one has more, with names that are computed."""

    entries: "Mapping[str, tuple[Node, Node]]"
    is_open: bool
    scope: "Scope"
    node: Node


Value = Literal | Text | Whole | Some | Items | Fields


@dataclass(frozen=True)
class Scope:
    """Where a name is looked up: a document, the documents of its modules, who calls it, and the loops around.

    `given` holds for each parameter what the callers give for it, each in the scope of the caller.
    """

    document: Document
    modules: Mapping[str, Document | None] = field(default_factory=dict)
    given: "Mapping[str, tuple[tuple[Node, Scope], ...]]" = field(default_factory=dict)
    loops: tuple[Loop, ...] = ()
    is_called: bool = False
    depth: int = 0

    def deeper(self) -> "Scope":
        """The same scope, one step further on the way to a value."""
        return replace(self, depth=self.depth + 1)

    def within(self, loops: tuple[Loop, ...]) -> "Scope":
        """The scope inside of further loops."""
        return replace(self, loops=(*self.loops, *loops))


def possible(node: Node, scope: Scope) -> tuple[Value, ...]:
    """What `node` may be, as far as it is known; at least one value."""
    if scope.depth > MAX_DEPTH:
        return (Some("any", node),)
    inner = parts(node)
    match node.type:
        case "string":
            return _string(node, scope)
        case "number":
            return (Literal(int(text_of(node)), node),)
        case "boolean":
            return (Literal(text_of(node) == "true", node),)
        case "null":
            return (Literal(None, node),)
        case "parenthesized_expression":
            return possible(inner[0], scope)
        case "ternary_expression":
            return (*possible(inner[1], scope), *possible(inner[2], scope))
        case "array":
            return (Items(tuple((one, scope) for one in inner), node),)
        case "for_statement":
            loop, body = loop_of(node)
            return (Items(((body, scope.within((loop,))),), node),)
        case "if_statement":
            return possible(inner[1], scope)
        case "object":
            return (_fields(node, scope),)
        case "identifier":
            return _named(node, scope)
        case "member_expression":
            return _member(node, scope)
        case "call_expression":
            return _call(node, scope)
        case "unary_expression":
            return (Some("bool" if text_of(node).startswith("!") else "int", node),)
        case "binary_expression":
            operator = node.child_by_field_name("operator")
            if operator and text_of(operator) in COMPARED:
                return (Some("bool", node),)
            return (Some("any" if operator and text_of(operator) == "??" else "int", node),)
    return (Some("any", node),)


def located(node: Node, scope: Scope, message: str) -> Finding:
    """A finding at `node`, which stands in the scope's document or in that of a caller."""
    root = node
    while root.parent is not None:
        root = root.parent
    return at(_paths(scope).get(root.id, scope.document.path), node, message)


def _paths(scope: Scope) -> dict[int, Path]:
    """The path of the scope's document and of all that call it, by the id of the root of each."""
    found = {scope.document.root.id: scope.document.path}
    for given in scope.given.values():
        for _, caller in given:
            if caller.document.root.id not in found:
                found |= _paths(caller)
    return found


def expressions(node: Node, scope: Scope) -> Iterator[tuple[Node, Scope]]:
    """The node and all below it, each with the scope in which its names are looked up."""
    yield node, scope
    if node.type == "for_statement":
        loop, body = loop_of(node)
        yield from expressions(loop.array, scope)
        yield from expressions(body, scope.within((loop,)))
        return
    for child in parts(node):
        yield from expressions(child, scope)


def kind_of(value: Value) -> str:
    """The value's kind: one of KINDS, `null` or `any`."""
    match value:
        case Literal(value=bool()):
            return "bool"
        case Literal(value=int()):
            return "int"
        case Literal(value=None):
            return "null"
        case Literal() | Text():
            return "string"
        case Whole():
            return "int"
        case Items():
            return "array"
        case Fields():
            return "object"
        case Some(kind=kind):
            return kind


def declared_kind(kind: Node | None) -> str:
    """The kind that a type expression names; `any` for what is not one of KINDS or an array or union of literals."""
    if kind is None:
        return "any"
    inner = parts(kind)
    match kind.type:
        case "type":
            return declared_kind(inner[0]) if inner else "any"
        case "primitive_type":
            return text_of(kind)
        case "array_type":
            return "array"
        case "object":
            return "object"
        case "union_type" if all(one.type == "string" for one in inner):
            return "string"
        case "string":
            return "string"
    return "any"


def allowed_values(parameter: Parameter) -> tuple[str | int | bool | None, ...]:
    """The values in a parameter's @allowed, or in its type when that is a union of strings; none: no such limit."""
    nodes = [one for array in parameter.decorators.get("allowed", ()) for one in parts(array)]
    if parameter.type and not nodes:
        union = next((one for one in parts(parameter.type) if one.type == "union_type"), None)
        nodes = parts(union) if union else []
    return tuple(_written(node) for node in nodes)


def _written(node: Node) -> str | int | bool | None:
    """The value of a literal; an expression's own text."""
    match node.type:
        case "number":
            return int(text_of(node))
        case "boolean":
            return text_of(node) == "true"
        case "null":
            return None
    text = string_of(node)
    return text_of(node) if text is None else text


def bound(parameter: Parameter, decorator: str) -> int | None:
    """The number in a parameter's @minLength, @maxLength, @minValue or @maxValue."""
    arguments = parameter.decorators.get(decorator, ())
    return int(text_of(arguments[0])) if arguments and arguments[0].type == "number" else None


def lengths(value: Value) -> tuple[int, int | None]:
    """How short and how long a value's text is in an interpolation; None: there is no end."""
    match value:
        case Literal(value=bool() as flag):
            return len(str(flag)), len(str(flag))
        case Literal(value=literal):
            text = "" if literal is None else str(literal)
            return len(text), len(text)
        case Text(least=least, most=most):
            return least, most
    return 0, None


def _string(node: Node, scope: Scope) -> tuple[Value, ...]:
    whole = string_of(node)
    if whole is not None:
        return (Literal(whole, node),)
    pieces: list[tuple[Value, ...]] = []
    for part in parts(node):
        if part.type == "interpolation":
            pieces.append(tuple(dict.fromkeys(possible(parts(part)[0], scope.deeper()))))
        else:
            text = text_of(part)
            pieces.append((Literal(text if part.type == "string_content" else text[-1], part),))
    return _joined(pieces, node)


def _joined(pieces: list[tuple[Value, ...]], node: Node) -> tuple[Value, ...]:
    """Texts one after the other: every combination of what each may be, or one with the bounds of all."""
    count = 1
    for piece in pieces:
        count *= len(piece)
    if count > MAX_COMBINATIONS:
        ends = [[lengths(value) for value in piece] for piece in pieces]
        longest = [[most for _, most in piece] for piece in ends]
        most = None if any(None in piece for piece in longest) else sum(max(one or 0 for one in p) for p in longest)
        return (Text(sum(min(least for least, _ in piece) for piece in ends), most, node),)
    return tuple(_concatenated(combination, node) for combination in itertools.product(*pieces))


def _concatenated(values: tuple[Value, ...], node: Node) -> Value:
    literals = [value.value for value in values if isinstance(value, Literal) and value.value is not None]
    if len(literals) == len(values):
        return Literal("".join(str(one) for one in literals), node)
    ends = [lengths(value) for value in values]
    most = [end for _, end in ends]
    return Text(sum(least for least, _ in ends), None if None in most else sum(one or 0 for one in most), node)


def _fields(node: Node, scope: Scope) -> Fields:
    found: dict[str, tuple[Node, Node]] = {}
    is_open = False
    for one in parts(node):
        inner = parts(one)
        if one.type != "object_property" or len(inner) != 2:
            continue
        key = text_of(inner[0]) if inner[0].type == "identifier" else string_of(inner[0])
        if key is None:
            is_open = True
        else:
            found[key] = (inner[0], inner[1])
    return Fields(found, is_open, scope, node)


def _named(node: Node, scope: Scope) -> tuple[Value, ...]:
    name = text_of(node)
    for place in range(len(scope.loops) - 1, -1, -1):
        loop = scope.loops[place]
        if name == loop.index:
            return (Whole(0, None, node),)
        if name == loop.item:
            around = replace(scope, loops=scope.loops[:place]).deeper()
            return tuple(_items_of(loop.array, around)) or (Some("any", node),)
    declared = scope.document.declared.get(name)
    match declared:
        case Variable(value=value):
            return possible(value, replace(scope, loops=()).deeper())
        case Parameter():
            return _parameter(declared, node, scope)
        case Resource() | Module():
            return (Some("array" if declared.loops else "object", node),)
    return (Some("any", node),)


def _items_of(array: Node, scope: Scope) -> Iterator[Value]:
    """What the items of an array may be."""
    for value in possible(array, scope):
        if isinstance(value, Items):
            for node, inner in value.items:
                yield from possible(node, inner.deeper())
        else:
            yield Some("any", array)


def _parameter(parameter: Parameter, node: Node, scope: Scope) -> tuple[Value, ...]:
    """What a parameter may be: one of its allowed values, or what the callers and its default say.

    A template that is not called by another gets what it gets: besides those values anything within its bounds.
    """
    allowed = allowed_values(parameter)
    if allowed:
        return tuple(Literal(one, node) for one in allowed)
    found: list[Value] = []
    for value, inner in scope.given.get(parameter.name, ()):
        found += possible(value, inner.deeper())
    if parameter.default:
        found += possible(parameter.default, replace(scope, loops=()).deeper())
    if not found or not scope.is_called:
        found.append(_within_bounds(parameter, node))
    return tuple(found)


def _within_bounds(parameter: Parameter, node: Node) -> Value:
    kind = declared_kind(parameter.type)
    match kind:
        case "string":
            return Text(bound(parameter, "minLength") or 0, bound(parameter, "maxLength"), node)
        case "int":
            return Whole(bound(parameter, "minValue"), bound(parameter, "maxValue"), node)
    return Some(kind, node)


def _member(node: Node, scope: Scope) -> tuple[Value, ...]:
    of, name = node.child_by_field_name("object"), node.child_by_field_name("property")
    if not of or not name:
        return (Some("any", node),)
    output = _output(of, text_of(name), scope)
    if output:
        return (Some(output, node),)
    base = of.child_by_field_name("object") if of.type == "subscript_expression" else of
    if base and base.type in {"identifier", "resource_expression"}:
        declared = scope.document.declared.get(text_of(base).rpartition("::")[2])
        if isinstance(declared, Resource) and text_of(name) in {"id", "name", "type", "apiVersion", "location"}:
            return (Some("string", node),)
    found: list[Value] = []
    for value in possible(of, scope.deeper()) if of.type in {"identifier", "member_expression"} else ():
        if isinstance(value, Fields) and text_of(name) in value.entries:
            found += possible(value.entries[text_of(name)][1], value.scope.deeper())
        else:
            found.append(Some("any", node))
    return tuple(found) or (Some("any", node),)


def _output(of: Node, name: str, scope: Scope) -> str:
    """The kind of `MODULE.outputs.NAME`; empty when the expression is none, or the output is not there."""
    module = output_of(of, scope.document)
    target = scope.modules.get(module) if module else None
    found = next((one for one in target.outputs if one.name == name), None) if target else None
    return declared_kind(found.type) if found else ""


def output_of(of: Node, document: Document) -> str:
    """The module of which `of` is `.outputs`; empty when it is something else."""
    inner = of.child_by_field_name("object") if of.type == "member_expression" else None
    name = of.child_by_field_name("property") if of.type == "member_expression" else None
    if inner and inner.type == "subscript_expression":
        inner = inner.child_by_field_name("object")
    if not inner or not name or text_of(name) != "outputs" or inner.type != "identifier":
        return ""
    return text_of(inner) if isinstance(document.declared.get(text_of(inner)), Module) else ""


def _call(node: Node, scope: Scope) -> tuple[Value, ...]:
    function, arguments = node.child_by_field_name("function"), node.child_by_field_name("arguments")
    given = parts(arguments) if arguments else []
    name = text_of(function).rpartition(".")[2] if function else ""
    if not function or function.type not in {"identifier", "member_expression"} or _is_of_resource(function):
        return (Some("any", node),)
    match name:
        case "uniqueString":
            return (Text(13, 13, node),)
        case "guid" | "newGuid":
            return (Text(36, 36, node),)
        case "toLower" | "toUpper" if given:
            return tuple(_cased(value, name, node) for value in possible(given[0], scope.deeper()))
        case "take" if len(given) == 2 and given[1].type == "number":
            return tuple(_taken(value, int(text_of(given[1])), node) for value in possible(given[0], scope.deeper()))
        case "replace" if len(given) == 3:
            return tuple(_replaced(value, given, node) for value in possible(given[0], scope.deeper()))
        case "string" if len(given) == 1:
            return tuple(_as_text(value, node) for value in possible(given[0], scope.deeper()))
        case "concat" if given:
            return _concat([value for one in given for value in possible(one, scope.deeper())], node)
    kind = RESULTS.get(name, "any")
    return (Text(0, None, node) if kind == "string" else Some(kind, node),)


def _as_text(value: Value, node: Node) -> Value:
    if isinstance(value, Literal) and value.value is not None:
        return Literal(str(value.value), node)
    return Text(0, None, node)


def _concat(values: list[Value], node: Node) -> tuple[Value, ...]:
    """Arrays one after the other: one of all the items that may be in it; texts: a text."""
    if all(isinstance(value, Items) for value in values):
        return (Items(tuple(item for value in values if isinstance(value, Items) for item in value.items), node),)
    kinds = {kind_of(value) for value in values}
    return (Some(kinds.pop() if len(kinds) == 1 else "any", node),)


def _is_of_resource(function: Node) -> bool:
    """Whether a function is called on something else than the namespaces az and sys."""
    of = function.child_by_field_name("object")
    return of is not None and text_of(of) not in {"az", "sys"}


def _cased(value: Value, name: str, node: Node) -> Value:
    if isinstance(value, Literal) and isinstance(value.value, str):
        return Literal(value.value.lower() if name == "toLower" else value.value.upper(), node)
    return Text(*lengths(value), node)


def _taken(value: Value, count: int, node: Node) -> Value:
    if isinstance(value, Literal) and isinstance(value.value, str):
        return Literal(value.value[:count], node)
    if kind_of(value) != "string":
        return Some(kind_of(value), node)
    least, most = lengths(value)
    return Text(min(least, count), count if most is None else min(most, count), node)


def _replaced(value: Value, given: list[Node], node: Node) -> Value:
    old, new = string_of(given[1]), string_of(given[2])
    if isinstance(value, Literal) and isinstance(value.value, str) and old and new is not None:
        return Literal(value.value.replace(old, new), node)
    shrinks = old is not None and new is not None and len(new) <= len(old)
    return Text(0, lengths(value)[1] if shrinks else None, node)
