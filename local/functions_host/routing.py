"""Route templates as ASP.NET Core reads them, and the host's choice among the functions. Pure; it knows no keys.

Templates: literals, `{name}`, `{name?}`, `{name=default}`, `{name:int:min(1)}`, `{*rest}`, `{**rest}`. A segment that
mixes text and parameters (`{a}.{b}`) and the constraints not named in CONSTRAINTS are refused, not misread.
Source: Microsoft.AspNetCore.Routing (TemplateParser, TemplateMatcher, Constraints/), WebScriptHostHttpRoutesManager.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from local.functions_host.bindings import HttpFunction
from local.functions_host.errors import RouteError

type Constraint = Callable[[str], bool]

_PARAMETER = re.compile(
    r"\{(?P<stars>\*{0,2})(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"(?P<constraints>(?::[A-Za-z]+(?:\([^()]*\))?)*)(?:=(?P<default>[^{}?]*))?(?P<optional>\?)?\}"
)
_CONSTRAINT = re.compile(r":([A-Za-z]+)(?:\(([^()]*)\))?")
_GUID = re.compile(r"\{?[0-9A-Fa-f]{8}-?(?:[0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}\}?")


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a template between slashes: a literal, or a parameter when `name` is set."""

    literal: str = ""
    name: str = ""
    constraints: tuple[Constraint, ...] = ()
    default: str | None = None
    optional: bool = False
    takes_rest: bool = False

    def takes(self, value: str) -> bool:
        """Whether the text of one segment of a path (of the whole rest, for a catch-all) fits here."""
        if not self.name:
            return value.casefold() == self.literal.casefold()
        return value != "" and all(constraint(value) for constraint in self.constraints)


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed route template."""

    segments: tuple[Segment, ...]

    def match(self, path: str) -> dict[str, str] | None:
        """The route parameters of a path such as "/api/cars/7", by name; None when the path does not match.

        Slashes within a value must still be escaped in `path`. One slash at the end of a path counts for nothing. A
        parameter that the path leaves out appears with its default, or not at all.
        """
        parts = _split(path)
        values: dict[str, str] = {}
        for position, segment in enumerate(self.segments):
            rest = parts[position:]
            if rest and (rest != [""] or not segment.takes_rest):
                value = "/".join(rest) if segment.takes_rest else rest[0]
                if not segment.takes(value):
                    return None
                if segment.name:
                    values[segment.name] = value
            elif segment.default is not None:
                values[segment.name] = segment.default
            elif not (segment.optional or segment.takes_rest):
                return None
        ends_open = bool(self.segments) and self.segments[-1].takes_rest
        return values if ends_open or len(parts) <= len(self.segments) else None


def parse_template(template: str) -> Template:
    """Read a template such as "api/cars/{id:int?}".

    Raises RouteError on two slashes in a row, on a parameter named twice, on anything after a catch-all, and on what
    this host does not support.
    """
    parts = _split(template)
    if "" in parts:
        raise RouteError(f"route {template!r}: '/' cannot appear twice in a row")
    segments = tuple(_parse_segment(part, template) for part in parts)
    names = [segment.name.casefold() for segment in segments if segment.name]
    if len(set(names)) < len(names):
        raise RouteError(f"route {template!r} names a parameter twice")
    if any(segment.takes_rest for segment in segments[:-1]):
        raise RouteError(f"route {template!r}: a catch-all parameter can only be the last segment")
    for segment, following in itertools.pairwise(segments):
        if segment.optional and not following.optional:
            raise RouteError(f"route {template!r}: only optional parameters can follow {{{segment.name}?}}")
    return Template(segments)


class RouteTable:
    """The routes of an app in the order in which the host tries them."""

    def __init__(self, functions: Iterable[HttpFunction], prefix: str) -> None:
        """Lay out the routes under `prefix` ("api" unless host.json says otherwise; "" for none).

        Raises RouteError, naming the function, on a template that cannot be read, on a route that begins with "admin"
        (the host's own space) and on two functions with the same route and a method in common.
        """
        # The host sorts by name; the case-blind key stands for the .NET culture's order.
        self.functions = tuple(sorted(functions, key=lambda function: (function.name.casefold(), function.name)))
        self._routes: list[tuple[Template, HttpFunction]] = []
        for function in self.functions:
            _refuse_conflict(function, (other for _, other in self._routes))
            template = f"{prefix}/{function.route}" if prefix else function.route
            try:
                self._routes.append((parse_template(template), function))
            except RouteError as error:
                raise RouteError(f"function {function.name}: {error}") from error

    def find(self, method: str, path: str) -> tuple[HttpFunction, dict[str, str]] | None:
        """The first function in name order that takes this method and path, with its route parameters.

        None is a 404, also where another method would have been taken (azure-functions-host issue 10098).
        """
        for template, function in self._routes:
            if function.methods is None or method.upper() in function.methods:
                values = template.match(path)
                if values is not None:
                    return function, values
        return None


def _split(path: str) -> list[str]:
    path = path.removeprefix("/").removesuffix("/")
    return path.split("/") if path else []


def _parse_segment(text: str, template: str) -> Segment:
    if "{" not in text and "}" not in text:
        return Segment(literal=text)
    found = _PARAMETER.fullmatch(text)
    if found is None:
        raise RouteError(f"route {template!r}: this host cannot read the segment {text!r}")
    if found["optional"] and found["default"] is not None:
        raise RouteError(f"route {template!r}: {text!r} is optional and has a default")
    return Segment(
        name=found["name"],
        constraints=tuple(_constraint(name, argument, template) for name, argument in _written(found["constraints"])),
        default=found["default"],
        optional=found["optional"] is not None,
        takes_rest=found["stars"] != "",
    )


def _written(constraints: str) -> list[tuple[str, str]]:
    return [(name.lower(), argument) for name, argument in _CONSTRAINT.findall(constraints)]


def _constraint(name: str, argument: str, template: str) -> Constraint:
    build = CONSTRAINTS.get(name)
    if build is None:
        raise RouteError(f"route {template!r}: this host has no constraint {name!r}, only {', '.join(CONSTRAINTS)}")
    try:
        numbers = [int(part) for part in argument.split(",")] if argument else []
        return build(*numbers)
    except (TypeError, ValueError) as error:
        raise RouteError(f"route {template!r}: {name}({argument}) is not a constraint") from error


def _refuse_conflict(function: HttpFunction, others: Iterable[HttpFunction]) -> None:
    # As ScriptHost.ValidateHttpFunction: whatever the prefix, and "administration" too.
    route = function.route.strip("/").casefold()
    if route.startswith("admin"):
        raise RouteError(f"function {function.name}: routes that begin with 'admin' are the host's own")
    for other in others:
        if other.route.strip("/").casefold() == route and _share_method(function.methods, other.methods):
            raise RouteError(f"function {function.name}: its route {function.route!r} is taken by {other.name}")


def _share_method(one: frozenset[str] | None, other: frozenset[str] | None) -> bool:
    return not one or not other or not one.isdisjoint(other)


def _whole_number(value: str) -> int | None:
    return int(value) if re.fullmatch(r"\s*[+-]?[0-9]+\s*", value) else None


def _between(low: float, high: float) -> Constraint:
    def is_between(value: str) -> bool:
        number = _whole_number(value)
        return number is not None and low <= number <= high

    return is_between


def _of_length(low: float, high: float) -> Constraint:
    return lambda value: low <= len(value) <= high


def _length(low: int, high: int | None = None) -> Constraint:
    return _of_length(low, low if high is None else high)


def _like(pattern: re.Pattern[str]) -> Constraint:
    return lambda value: pattern.fullmatch(value) is not None


CONSTRAINTS: Mapping[str, Callable[..., Constraint]] = {
    "int": lambda: _between(-(2**31), 2**31 - 1),
    "long": lambda: _between(-(2**63), 2**63 - 1),
    "min": lambda low: _between(low, 2**63 - 1),
    "max": lambda high: _between(-(2**63), high),
    "range": lambda low, high: _between(low, high),
    "bool": lambda: lambda value: value.strip().lower() in {"true", "false"},
    "guid": lambda: _like(_GUID),
    "alpha": lambda: _like(re.compile(r"[A-Za-z]*")),
    "minlength": lambda low: _of_length(low, float("inf")),
    "maxlength": lambda high: _of_length(0, high),
    "length": _length,
}
