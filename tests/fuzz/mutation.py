"""Makes hostile inputs of good ones: changes the JSON in an input at its values, and signs again what was changed.

Bytes that are changed blindly are no JSON, and a transaction that was changed has another id and no valid signature:
neither gets far. So values are changed, put in place of each other, and most results are genuine again. Pure: the same
seed makes the same input.
"""

import copy
import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.contract.conftest import LESSOR as CONTRACT_LESSOR
from tests.unit.ledger_writing import PAIRS, asset_id, signed_by_hand, with_own_id

Bytes = Callable[[bytes, int], bytes]
"""Changes bytes blindly, to at most so many."""
Place = tuple[Any, Any]
"""A list or an object, and an index or a name in it."""

SIGNERS = PAIRS | {CONTRACT_LESSOR.public_key: CONTRACT_LESSOR}
HASH = "0123456789abcdef" * 4
TEXTS = ["", " ", "\0", "\n", "\x1f\x7f\x85", "\u2028", "é", "\U0001f697", "\ufeff", "\ud800", "\udcff", "$", "/", "#?"]
TEXTS += ["0", "-1", "NaN", "null", "2.0", "1.0", "9" * 19, "9" * 5_000, HASH, HASH.upper(), HASH[:-1], "=", "%00"]
TEXTS += ["CREATE", "TRANSFER", "GENESIS", "ed25519-sha-256", "threshold-sha-256", "2026-02-30", "0000-00-00", *PAIRS]
NUMBERS = [0, -1, 1, 2, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63), 10**18, 9 * 10**18, 10**400, 0.5, -0.0, 1e308, 5e-324]
VALUES: list[Any] = [None, True, False, [], {}, [[]], {"": None}, float("nan"), float("inf")]
SPOILERS = [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\0", b"\xef\xbb\xbf", b"NaN", b"-Infinity", b"1e999", b"01"]
SPOILERS += [rb"\ud800", rb"\u0000", b"]", b"}", b",", b'"', b"\\", b"[" * 300, b'{"a":' * 300, b"9" * 4_400]
MAX_PLACES = 3_000
"""In an input that has more, no more is put."""


class Mutation:
    """Changes inputs of one target. What it puts into them comes from all its inputs, `corpus`, too."""

    def __init__(self, corpus: Iterable[bytes]) -> None:
        texts = (text for one in corpus for text in (_split(one)[1], *one.split(b"\n")))
        self._donors = [value for text in texts for value in _values(_parsed(text))]

    def __call__(self, data: bytes, most: int, seed: int, blindly: Bytes) -> bytes:
        """Another input, of at most so many bytes."""
        dice = random.Random(seed)
        head, body = _split(data)
        before, text, after = (head, body, b"") if _parsed(body) is not None else _line(data, dice)
        tree = _parsed(text)
        if tree is None or dice.random() < 0.1:
            return blindly(data, most)
        if head and dice.random() < 0.1:
            return (blindly(head, most).strip() + b"\n\n" + body)[:most]
        try:
            made = before + self._written(tree, dice) + after
        except (ValueError, RecursionError):
            return blindly(data, most)
        return made if len(made) <= most else blindly(data, most)

    def _written(self, tree: Any, dice: random.Random) -> bytes:
        holder = [tree]
        for _ in range(dice.choice((1, 1, 1, 2, 3, 6))):
            self._change(holder, dice)
        if dice.random() < 0.6:
            holder = genuine(holder, dice)
        text = json.dumps(holder[0], ensure_ascii=dice.random() < 0.5).encode(errors="surrogatepass")
        return _spoiled(text, dice) if dice.random() < 0.08 else text

    def _change(self, holder: list[Any], dice: random.Random) -> None:
        """Change one value somewhere in the list `holder`."""
        places = list(itertools.islice(_places(holder), MAX_PLACES))
        if len(places) == MAX_PLACES:
            return
        container, key = dice.choice(places)
        value = container[key]
        match dice.randrange(9):
            case 0:
                container[key] = copy.deepcopy(dice.choice([*VALUES, *NUMBERS, *TEXTS]))
            case 1 | 2 if self._donors:
                container[key] = copy.deepcopy(dice.choice(self._donors))
            case 3 if len(places) > 1 and container is not holder:
                del container[key]
            case 4 if isinstance(container, list):
                container[key:key] = [copy.deepcopy(value) for _ in range(dice.choice((1, 1, 2, 30)))]
            case 4:
                container[dice.choice(TEXTS)] = copy.deepcopy(value)
            case 5:
                other, there = dice.choice(places)
                container[key], other[there] = copy.deepcopy(other[there]), copy.deepcopy(value)
            case 6:
                container[key] = _wrapped(value, dice)
            case _:
                container[key] = _varied(value, dice)


def genuine(tree: Any, dice: random.Random) -> Any:
    """The tree with its transactions, in order, signed and named again, and with those that spend them following."""
    renamed: dict[str, str] = {}
    done: set[int] = set()
    made = copy.deepcopy(tree)
    for container, key in list(_places([made])):
        event: Any = container[key]
        body: Any = event.get("data", event) if isinstance(event, dict) else None
        if id(body) in done or not _is_transaction(body):
            continue
        done.add(id(body))
        again = _signed(_renamed(body, renamed), dice)
        if isinstance(body["id"], str):
            renamed[body["id"]] = again["id"]
        body.clear()
        body.update(again)
        if body is not event:
            event |= {"id": body["id"], "subject": asset_id(body), "partitionkey": asset_id(body)}
            if isinstance(event.get("predecessor"), str):
                event["predecessor"] = renamed.get(event["predecessor"], event["predecessor"])
    return made


def _is_transaction(body: Any) -> bool:
    if not (isinstance(body, dict) and {"id", "operation", "inputs", "outputs", "asset"} <= body.keys()):
        return False
    inputs, asset = body["inputs"], body["asset"]
    if not (isinstance(inputs, list) and all(isinstance(one, dict) for one in inputs) and isinstance(asset, dict)):
        return False
    return body["operation"] == "CREATE" or "id" in asset


def _renamed(body: Any, renamed: dict[str, str]) -> Any:
    """The transaction with the new names of those that it spends and of its asset."""
    made = copy.deepcopy(body)
    for one in made["inputs"]:
        spent = one.get("fulfills")
        if isinstance(spent, dict) and isinstance(spent.get("transaction_id"), str):
            spent["transaction_id"] = renamed.get(spent["transaction_id"], spent["transaction_id"])
    if isinstance(made["asset"].get("id"), str):
        made["asset"]["id"] = renamed.get(made["asset"]["id"], made["asset"]["id"])
    return made


def _signed(body: Any, dice: random.Random) -> Any:
    """The transaction, signed by those whom its inputs name where their keys are known, and with the id that it has."""
    if body["operation"] == "CREATE" and isinstance(body["asset"].get("data"), dict) and dice.random() < 0.5:
        body["asset"]["data"]["number"] = dice.getrandbits(32)  # a car that the record does not know yet
    owners = [one.get("owners_before") for one in body["inputs"]]
    named = [one[0] if isinstance(one, list) and len(one) == 1 else None for one in owners]
    if not all(isinstance(key, str) and key in SIGNERS for key in named):
        return with_own_id(body)
    try:
        return signed_by_hand(body, *(SIGNERS[key] for key in named))
    except (KeyError, TypeError):
        return with_own_id(body)


def _split(data: bytes) -> tuple[bytes, bytes]:
    """The head of an input that is a message, with the empty line after it, and its body; all the rest has no head."""
    head, gap, body = data.partition(b"\n\n")
    return (head + gap, body) if gap and head[:1] not in {b"[", b"{"} else (b"", data)


def _line(data: bytes, dice: random.Random) -> tuple[bytes, bytes, bytes]:
    """One line of an input, with what stands before and after it."""
    lines = data.splitlines(keepends=True) or [b""]
    at = dice.randrange(len(lines))
    return b"".join(lines[:at]), lines[at].rstrip(b"\n"), b"".join([b"\n", *lines[at + 1 :]])


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text.decode(errors="surrogateescape"))
    except (ValueError, RecursionError):
        return None


def _places(tree: Any) -> Iterator[Place]:
    """Every place in a list or object, and in what it holds."""
    waiting = [tree]
    while waiting:
        container = waiting.pop(0)
        for key, value in list(container.items() if isinstance(container, dict) else enumerate(container)):
            yield container, key
            if isinstance(value, dict | list):
                waiting.append(value)


def _values(tree: Any) -> Iterator[Any]:
    """All that a tree holds that is not large."""
    found = (container[key] for container, key in _places([tree]))
    return itertools.islice((value for value in found if len(json.dumps(value)) < 2_000), 400)


def _wrapped(value: Any, dice: random.Random) -> Any:
    for _ in range(dice.choice((1, 1, 2, 100, 260))):
        threshold = {"type": "threshold-sha-256", "threshold": 1, "subconditions": [value]}
        value = dice.choice((threshold, [value]))
    return value


def _varied(value: Any, dice: random.Random) -> Any:
    """A value of the same kind, a little different."""
    match value:
        case bool():
            return not value
        case int() | float():
            return dice.choice([value + 1, value - 1, -value, value * 2, str(value), *NUMBERS])
        case str():
            at, length = dice.randrange(len(value) + 1), dice.choice((0, 0, 1, 1, 8))
            put = dice.choice([dice.choice(TEXTS), chr(dice.randrange(32, 127)), value[at : at + 4] * 2])
            return value[:at] + put + value[at + length :]
        case list():
            return dice.sample(value, len(value)) + copy.deepcopy(value[: dice.randrange(2)])
        case dict():
            return {key if dice.random() < 0.8 else f"{key} ": one for key, one in value.items()}
        case _:
            return copy.deepcopy(dice.choice(VALUES))


def _spoiled(text: bytes, dice: random.Random) -> bytes:
    """The text with something in it that is no JSON, or a name twice, or its end cut off."""
    at = dice.randrange(len(text) + 1)
    match dice.randrange(4):
        case 0:
            return text[:at]
        case 1:
            return text.replace(b'"id":', b'"id": "' + HASH.encode() + b'", "id":', 1)
        case _:
            return text[:at] + dice.choice(SPOILERS) + text[at + dice.randrange(2) :]
