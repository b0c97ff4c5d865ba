"""Checks what goes between Bicep files: modules, their parameters and outputs, and the files of parameters."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from tree_sitter import Node

from local.infra.finding import Finding, at, did_you_mean, listed
from local.infra.language import OF_FUNCTIONS, OF_MODULES
from local.infra.parsing import Document, Module, Parameter, entries, parts, text_of, walk
from local.infra.symbols import circles
from local.infra.values import (
    Fields,
    Items,
    Literal,
    Scope,
    Value,
    allowed_values,
    bound,
    declared_kind,
    expressions,
    kind_of,
    output_of,
    possible,
)

Documents = Mapping[Path, Document]
"""The documents of all files, by path without `..` parts."""


def target_of(document: Document, path: str) -> Path:
    """The file that a document names by a path relative to itself, without `..` parts."""
    return Path(*_without_dots((document.path.parent / path).parts))


def scopes(documents: Documents) -> dict[Path, Scope]:
    """The scope in which each document's names are looked up, with all that its callers give."""
    made: dict[Path, Scope] = {}

    def scope_of(path: Path, on_the_way: frozenset[Path]) -> Scope:
        if path in made:
            return made[path]
        document = documents[path]
        given: dict[str, tuple[tuple[Node, Scope], ...]] = {}
        is_called = False
        for caller in documents.values():
            if caller.path in on_the_way:
                continue
            for module in caller.modules:
                if target_of(caller, module.path) == path:
                    is_called = True
                    inner = scope_of(caller.path, on_the_way | {path}).within(module.loops)
                    for name, node in entries(entries(module.body).get("params")).items():
                        given[name] = (*given.get(name, ()), (node, inner))
            if caller.using and target_of(caller, caller.using) == path:
                inner = Scope(caller)
                for variable in caller.variables:
                    given[variable.name] = (*given.get(variable.name, ()), (variable.value, inner))
        targets = {module.name: documents.get(target_of(document, module.path)) for module in document.modules}
        made[path] = Scope(document, targets, given, is_called=is_called)
        return made[path]

    for path in documents:
        scope_of(path, frozenset())
    return made


def check(document: Document, documents: Documents, scope: Scope) -> Iterator[Finding]:
    """All findings on a document's modules, the properties that it reads, and a parameter file's values."""
    if document.path.suffix == ".bicepparam":
        yield from _parameter_file(document, documents)
    for module in document.modules:
        target = documents.get(target_of(document, module.path))
        if target is None:
            yield at(document.path, module.node, f"the module {module.name} names {module.path}, which is not there")
        else:
            yield from _call(document, module, target, scope)
    yield from _members(document, scope)


def check_circles(documents: Documents) -> Iterator[Finding]:
    """A finding for each circle of files that call each other."""
    edges = {
        str(path): {str(target_of(document, module.path)) for module in document.modules}
        for path, document in documents.items()
    }
    for name, circle in circles(edges):
        yield Finding(Path(name), 1, f"files call each other in a circle: {' -> '.join(circle)}")


def check_defaults(document: Document, scope: Scope) -> Iterator[Finding]:
    """A finding for each default that its parameter does not allow, and each output of another type than it says."""
    for parameter in document.parameters:
        for value in possible(parameter.default, scope) if parameter.default else ():
            yield from _fits(document.path, parameter, value, f"the default of {parameter.name}", parameter.node)
    for output in document.outputs:
        due = declared_kind(output.type)
        for value in possible(output.value, scope):
            if "any" not in {due, kind_of(value)} and kind_of(value) != due:
                message = f"the output {output.name} is {kind_of(value)}; it says {due}"
                yield at(document.path, output.node, message)


def _call(document: Document, module: Module, target: Document, scope: Scope) -> Iterator[Finding]:
    given = entries(entries(module.body).get("params"))
    known = {parameter.name: parameter for parameter in target.parameters}
    for name, node in entries(module.body).items():
        if name not in OF_MODULES:
            yield at(document.path, node, f"{name} is nothing of a module{did_you_mean(name, OF_MODULES)}")
        for value in possible(node, scope.within(module.loops)) if name == "name" else ():
            if kind_of(value) not in {"string", "any"}:
                yield at(document.path, node, f"the name of {module.name} is {kind_of(value)}; allowed is string")
    for parameter in target.parameters:
        if parameter.name not in given and _is_required(parameter):
            yield at(document.path, module.node, f"the module {module.name} lacks the parameter {parameter.name}")
    for name, node in given.items():
        if name not in known:
            message = f"the module {module.name} has no parameter {name}{did_you_mean(name, known)}"
            yield at(document.path, node, message)
            continue
        for value in possible(node, scope.within(module.loops)):
            yield from _fits(document.path, known[name], value, f"{name} of the module {module.name}", node)


def _is_required(parameter: Parameter) -> bool:
    is_nullable = parameter.type is not None and any(one.type == "nullable_type" for one in walk(parameter.type))
    return parameter.default is None and not is_nullable


def _fits(path: Path, parameter: Parameter, value: Value, what: str, node: Node) -> Iterator[Finding]:
    """What is wrong with a value for a parameter: its kind, its @allowed, its bounds."""
    due, kind = declared_kind(parameter.type), kind_of(value)
    if due != "any" and kind not in {due, "any"}:
        yield at(path, node, f"{what} is {kind}; allowed is {due}")
        return
    allowed = allowed_values(parameter)
    if allowed and isinstance(value, Literal) and value.value not in allowed and due != "array":
        yield at(path, node, f"{what} is {value.value!r}; allowed are {listed(allowed)}")
    size, number = _size(value), _number(value)
    least, most = bound(parameter, "minLength"), bound(parameter, "maxLength")
    if size is not None and not (least or 0) <= size <= (size if most is None else most):
        yield at(path, node, f"{what} has the length {size}; allowed is {_range(least, most)}")
    least, most = bound(parameter, "minValue"), bound(parameter, "maxValue")
    if number is not None and not (number if least is None else least) <= number <= (number if most is None else most):
        yield at(path, node, f"{what} is {number}; allowed is {_range(least, most)}")


def _range(least: int | None, most: int | None) -> str:
    return " and ".join(
        part
        for part in ("" if least is None else f"{least} or more", "" if most is None else f"{most} or less")
        if part
    )


def _size(value: Value) -> int | None:
    """The length that @minLength and @maxLength bound: of a string's text, or of an array's items; None: not known."""
    match value:
        case Literal(value=str() as text):
            return len(text)
        case Items(items=items, node=node) if node.type == "array":
            return len(items)
    return None


def _number(value: Value) -> int | None:
    match value:
        case Literal(value=int() as number) if not isinstance(number, bool):
            return number
    return None


def _members(document: Document, scope: Scope) -> Iterator[Finding]:
    """A finding for each property that is read of a module, of an object written out, or of a function's result."""
    for node, inner in expressions(document.root, scope):
        of = node.child_by_field_name("object") if node.type == "member_expression" else None
        name = node.child_by_field_name("property") if node.type == "member_expression" else None
        if of and name and not any(child.type in {".?", "?"} for child in node.children):
            known = _known_members(of, document, inner)
            if known is not None and text_of(name) not in known:
                message = f"{text_of(of)} has no {text_of(name)}{did_you_mean(text_of(name), known)}"
                yield at(document.path, name, message)


def _known_members(of: Node, document: Document, scope: Scope) -> AbstractSet[str] | None:
    """The properties that may be read of an expression; None where they are not known."""
    module = output_of(of, document)
    if module:
        target = scope.modules.get(module)
        return {output.name for output in target.outputs} if target else None
    base = of.child_by_field_name("object") if of.type == "subscript_expression" else of
    if base and base.type == "identifier" and isinstance(document.declared.get(text_of(base)), Module):
        return {"name", "outputs"}
    if base and base.type == "call_expression":
        return OF_FUNCTIONS.get(_called(base), {}).get("")
    if base and base.type == "member_expression" and parts(base)[0].type == "call_expression":
        return OF_FUNCTIONS.get(_called(parts(base)[0]), {}).get(text_of(parts(base)[-1]))
    written = [value for value in possible(of, scope) if isinstance(value, Fields)]
    if of.type not in {"identifier", "member_expression"} or not written or any(value.is_open for value in written):
        return None
    return frozenset.intersection(*(frozenset(value.entries) for value in written))


def _called(call: Node) -> str:
    """The function that is called without arguments; empty for a call with some."""
    arguments = call.child_by_field_name("arguments")
    return "" if arguments and parts(arguments) else text_of(parts(call)[0]).removeprefix("az.")


def _parameter_file(document: Document, documents: Documents) -> Iterator[Finding]:
    template = documents.get(target_of(document, document.using)) if document.using else None
    if template is None:
        yield Finding(document.path, 1, f"using names {document.using or 'no file'}, which is not there")
        return
    known = {parameter.name: parameter for parameter in template.parameters}
    given = {variable.name: variable for variable in document.variables if _is_parameter(variable.node)}
    for name, parameter in known.items():
        if name not in given and _is_required(parameter):
            yield Finding(document.path, 1, f"the parameter {name} of {template.path} is not given")
    for name, variable in given.items():
        if name not in known:
            message = f"{template.path} has no parameter {name}{did_you_mean(name, known)}"
            yield at(document.path, variable.node, message)
            continue
        for value in possible(variable.value, Scope(document)):
            yield from _fits(document.path, known[name], value, name, variable.node)


def _is_parameter(node: Node) -> bool:
    """Whether what was read as a variable was written as a parameter: `var` and two blanks, see parsing.py."""
    return text_of(node).startswith("var  ")


def _without_dots(pieces: tuple[str, ...]) -> list[str]:
    kept: list[str] = []
    for piece in pieces:
        if piece == ".." and kept and kept[-1] != "..":
            kept.pop()
        elif piece != ".":
            kept.append(piece)
    return kept
