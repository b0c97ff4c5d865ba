"""What the bindings of an indexed function say: what triggers it, or why it is not served here. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from local.functions_host.keys import AuthLevel


@dataclass(frozen=True, slots=True)
class HttpFunction:
    """A function this host serves. `methods` in upper case; None means every method."""

    name: str
    function_id: str
    parameter: str
    route: str
    methods: frozenset[str] | None
    level: AuthLevel


@dataclass(frozen=True, slots=True)
class TimerFunction:
    """A function that the clock triggers in Azure, by `schedule` (NCRONTAB), and here somebody with the master key."""

    name: str
    function_id: str
    parameter: str
    schedule: str


@dataclass(frozen=True, slots=True)
class UnservedFunction:
    """A function that needs a binding this host does not have; `bindings` names those, such as "queueTrigger"."""

    name: str
    bindings: tuple[str, ...]


type Function = HttpFunction | TimerFunction | UnservedFunction


def read_bindings(name: str, function_id: str, raw_bindings: Sequence[str]) -> Function:
    """Judge a function by its bindings, each the JSON text of one entry of `bindings` in function.json.

    Served is what has an HTTP trigger and at most the HTTP response as its return value, or a timer alone. The defaults
    (level FUNCTION, the function's name as its route) are those of the host's HttpTriggerAttribute.
    """
    bindings = [json.loads(raw) for raw in raw_bindings]
    if [binding["type"].lower() for binding in bindings] == ["timertrigger"]:
        return TimerFunction(name, function_id, bindings[0]["name"], bindings[0]["schedule"])
    trigger = next((binding for binding in bindings if binding["type"].lower() == "httptrigger"), None)
    others = [binding for binding in bindings if binding is not trigger]
    beyond = tuple(binding["type"] for binding in others if not _is_returned_response(binding))
    if trigger is None or beyond:
        return UnservedFunction(name, beyond)
    methods = trigger.get("methods")
    return HttpFunction(
        name=name,
        function_id=function_id,
        parameter=trigger["name"],
        route=trigger.get("route") or name,
        methods=None if methods is None else frozenset(method.upper() for method in methods),
        level=AuthLevel[str(trigger.get("authLevel") or "FUNCTION").upper()],
    )


def _is_returned_response(binding: dict[str, str]) -> bool:
    return binding["type"].lower() == "http" and binding["name"] == "$return"
