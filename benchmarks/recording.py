"""Blocks recorded from a ledger, and how they are repeated for ever with fresh ids.

Recorded transactions are cut anew into blocks of one size, and these are repeated in rounds. Round 0 is the recording;
in every other round each id, of transactions and of assets, is replaced wherever it stands by one derived from it and
the round, so that what belongs together still does. Hashes and signatures do not hold then: whoever gets such blocks
must not check the evidence. Who serves them, and how, is not known here.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
import requests

from benchmarks.history import Json, asset_of

ID = re.compile(rb'"([0-9a-f]{8})([0-9a-f]{56})"')
"""An id in JSON: 64 hexadecimal digits. A round changes the first 8, its head; the other 56, its tail, stay."""
HEAD = 8
STEP = 0x9E37_79B1
"""What a round adds to a head. It is odd, so that no two rounds in 2**32 are alike."""
STEP_INVERSE = pow(STEP, -1, 2**32)
TIMEOUT_S = 60.0


class Template(msgspec.Struct, frozen=True):
    """A text with ids in it, ready to be written for any round: the pieces before, between and after their heads."""

    pieces: tuple[bytes, ...]
    heads: tuple[int, ...]

    def in_round(self, number: int) -> bytes:
        """The text with the ids of this round."""
        shift = number * STEP
        parts = [self.pieces[0]]
        for head, piece in zip(self.heads, self.pieces[1:], strict=True):
            parts.append(b"%08x" % ((head + shift) % 2**32))
            parts.append(piece)
        return b"".join(parts)


class Recording:
    """Recorded transactions as an endless row of blocks, numbered from 0, of `events` transactions each.

    `transactions` stand in the order of their commits: each comes after those it spends. Raises ValueError when they
    are fewer than fill a block; those that fill no block at the end are left out.
    """

    def __init__(self, transactions: Sequence[Json], events: int) -> None:
        self.events = events
        self._length = len(transactions) // events
        if not self._length:
            raise ValueError(f"{len(transactions)} transactions do not fill a block of {events}")
        self._blocks: list[Template] = []
        self._ids: list[list[tuple[str, str]]] = []
        self._found: dict[str, tuple[int, Template]] = {}
        self._chains: dict[str, list[str]] = {}
        for number in range(self._length):
            self._add(number, transactions[number * events : (number + 1) * events])

    def transactions(self, number: int) -> bytes:
        """The transactions of a block, as a JSON array."""
        turn, place = divmod(number, self._length)
        return self._blocks[place].in_round(turn)

    def ids(self, number: int) -> list[tuple[str, str]]:
        """The asset id and the transaction id of each transaction of a block."""
        turn, place = divmod(number, self._length)
        return [(derived(asset, turn), derived(one, turn)) for asset, one in self._ids[place]]

    def find(self, transaction_id: str) -> tuple[int, bytes] | None:
        """The number of the block that holds a transaction, and its JSON; None where no block ever does."""
        found = self._found.get(transaction_id[HEAD:])
        if found is None:
            return None
        place, template = found
        turn = _turn(template.heads, transaction_id)
        return None if turn is None else (turn * self._length + place, template.in_round(turn))

    def chain(self, asset_id: str) -> list[tuple[int, bytes]]:
        """The same of every transaction of an asset."""
        create = self.find(asset_id)
        if create is None:
            return []
        turn = create[0] // self._length
        found = (self.find(derived(one, turn)) for one in self._chains.get(asset_id[HEAD:], ()))
        return [one for one in found if one is not None]

    def _add(self, number: int, transactions: Sequence[Json]) -> None:
        # A node returns a block's transactions in the order of their ids, whatever they spend.
        block = sorted(transactions, key=lambda one: str(one["id"]))
        self._blocks.append(template(json.dumps(block).encode()))
        self._ids.append([(asset_of(one), one["id"]) for one in block])
        for one in block:
            self._found[one["id"][HEAD:]] = (number, template(json.dumps({"id": one["id"], **one}).encode()))
        for one in transactions:
            self._chains.setdefault(asset_of(one)[HEAD:], []).append(one["id"])


def template(text: bytes) -> Template:
    """The template of a JSON text in which ids stand as strings."""
    pieces, heads, end = [], [], 0
    for match in ID.finditer(text):
        pieces.append(text[end : match.start(1)])
        heads.append(int(match[1], 16))
        end = match.end(1)
    return Template((*pieces, text[end:]), tuple(heads))


def derived(recorded_id: str, number: int) -> str:
    """What stands in round `number` for an id of the recording."""
    return f"{(int(recorded_id[:HEAD], 16) + number * STEP) % 2**32:08x}{recorded_id[HEAD:]}"


def record(url: str, path: Path, order: Sequence[str]) -> None:
    """Write the transactions that the ledger at `url` has in its blocks to a file, one JSON line each, in this order.

    `order` are their ids. Raises ValueError when the ledger does not have exactly these.
    """
    with requests.Session() as session:
        found: dict[str, Json] = {}
        height = 1
        while (answer := session.get(f"{url}/api/v1/blocks/{height}", timeout=TIMEOUT_S)).status_code != 404:
            answer.raise_for_status()
            found |= {one["id"]: one for one in answer.json()["transactions"]}
            height += 1
    if found.keys() != set(order):
        raise ValueError(f"the ledger has {len(found)} transactions, and not the {len(order)} that were committed")
    with path.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(found[one]) + "\n" for one in order)


def read_recording(path: Path, events: int) -> Recording:
    """The recording in a file, in blocks of `events` transactions. Raises ValueError where it is too short."""
    with path.open(encoding="utf-8") as lines:
        return Recording([json.loads(line) for line in lines], events)


def _turn(heads: Sequence[int], transaction_id: str) -> int | None:
    """The round in which a transaction's id, first in its template, becomes this one; None where it is no id."""
    try:
        head = int(transaction_id[:HEAD], 16)
    except ValueError:
        return None
    return (head - heads[0]) * STEP_INVERSE % 2**32
