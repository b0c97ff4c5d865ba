"""The audit's own fold: what the ledger's blocks say of every car, and of every lease. Pure.

It is kept small, since all of it is in memory at once: 32 bytes for each transaction of a car, 16 for each lease, and
some hundreds for each car and driver. docs/audit.md has the figures.
"""

import re
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterator

from audit.errors import UnfoldableError
from audit.transactions import Movement, UnreadableError, is_registration, read_movement
from relay.blocks import CREATE, TRANSFER, Transaction

ID = re.compile("[0-9a-f]{64}")
ID_BYTES = 32
NOWHERE = 2**32 - 1
"""In place of the transaction that ended a lease: it is open."""
FIELDS = 4
"""Of a lease: number of the driver, places of the transactions that started and ended it, whether its row was seen."""

Parts = tuple[str, ...]
"""What a row says, in parts that are told apart where they differ; none where there is no such row."""

RECORD, TRANSACTION, LEASE = "record-", "transaction-", "lease-"


class Car:
    """One car: its transactions, in order; its leases; which of them are open; its unspent outputs.

    Transactions are named by their place among those of the car. An unspent output is the place of its transaction, its
    index there, its owners and its amount.
    """

    __slots__ = ("applied", "has_rows", "is_seen", "leases", "moved", "open", "unreadable", "unspent")

    def __init__(self) -> None:
        self.applied = bytearray()
        self.leases = array("I")
        self.open: tuple[int, ...] = ()
        self.unspent: tuple[tuple[int, int, tuple[str, ...], int], ...] = ()
        self.moved = 0
        """Height of its last transaction."""
        self.unreadable = ""
        """A transaction of it that cannot be read, from which on nothing is known of it."""
        self.is_seen = False
        """Whether the record has any row of it, or of a lease of it."""
        self.has_rows = False
        """Whether table Cars has any row of it."""

    def transaction(self, place: int) -> str:
        """Id of the transaction at a place."""
        return self.applied[place * ID_BYTES : (place + 1) * ID_BYTES].hex()

    def place(self, transaction_id: str) -> int:
        """Place of a transaction; NOWHERE where it is not one of the car's."""
        if not ID.fullmatch(transaction_id):
            return NOWHERE
        packed = bytes.fromhex(transaction_id)
        at = self.applied.find(packed)
        while at > 0 and at % ID_BYTES:
            at = self.applied.find(packed, at + 1)
        return at // ID_BYTES if at >= 0 else NOWHERE


class Facts:
    """What the blocks up to `height` say of the cars of these lessors.

    The record's rows are marked here as they are seen, so that those that it lacks can be told in the end.
    """

    def __init__(self, lessors: Collection[str]) -> None:
        self.height = 0
        self._lessors = frozenset(lessors)
        self._cars: dict[bytes, Car] = {}
        self._keys: list[str] = []
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        """How many cars there are."""
        return len(self._cars)

    # ---- the fold

    def apply(self, one: Transaction, height: int) -> str:
        """Fold one transaction of the block `height`, after all before it; the asset id if it is of a car, or "".

        Raises UnfoldableError when it spends what the car does not have.
        """
        if one.operation == CREATE and is_registration(one.raw, self._lessors):
            self._cars[_packed(one.id)] = Car()
        elif one.operation != TRANSFER:
            return ""
        car = self._find(one.asset_id)
        if car is None:
            return ""
        car.moved = height
        if not car.unreadable:
            try:
                movement = read_movement(one.raw)
            except UnreadableError:
                car.unreadable = one.id
            else:
                self._move(car, one.id, movement)
        return one.asset_id

    def _move(self, car: Car, transaction_id: str, movement: Movement) -> None:
        place = len(car.applied) // ID_BYTES
        left = {output[:2]: output for output in car.unspent}
        for spent, index in movement.spends:
            if left.pop((car.place(spent), index), None) is None:
                raise UnfoldableError(f"transaction {transaction_id} spends what its car does not have: {spent}")
        kept = tuple(left.values())
        made = tuple(
            (place, index, tuple(map(self._named, output.owners)), output.amount)
            for index, output in enumerate(movement.outputs)
        )
        car.applied += _packed(transaction_id)
        car.unspent = kept + made
        self._change_hands(car, place, self._drivers(kept), self._drivers(made))

    def _change_hands(self, car: Car, place: int, keeping: set[str], receiving: set[str]) -> None:
        """End and start the car's leases: `keeping` have outputs that were not spent, `receiving` those just made."""
        before = {self._keys[car.leases[number * FIELDS]]: number for number in car.open}
        # An output is spent whole: a driver who keeps a part gets it back. That is no new lease, unless nobody changes.
        is_renewal = before.keys() == keeping | receiving
        ended = {driver for driver in before if driver not in keeping and (is_renewal or driver not in receiving)}
        for driver in ended:
            car.leases[before[driver] * FIELDS + 2] = place
        still_open = [number for driver, number in before.items() if driver not in ended]
        for driver in sorted(receiving - (before.keys() - ended)):
            still_open.append(len(car.leases) // FIELDS)
            car.leases.extend((self._number(driver), place, NOWHERE, 0))
        car.open = tuple(still_open)

    def _drivers(self, outputs: tuple[tuple[int, int, tuple[str, ...], int], ...]) -> set[str]:
        return {owner for _, _, owners, _ in outputs for owner in owners if owner not in self._lessors}

    def _named(self, key: str) -> str:
        """The key, as the one text that is kept of it."""
        return self._keys[self._number(key)]

    def _number(self, key: str) -> int:
        number = self._numbers.setdefault(key, len(self._keys))
        if number == len(self._keys):
            self._keys.append(key)
        return number

    def _find(self, asset_id: str) -> Car | None:
        return self._cars.get(bytes.fromhex(asset_id)) if ID.fullmatch(asset_id) else None

    # ---- what the rows should say

    def car_rows(self, asset_id: str) -> dict[str, Parts]:
        """What the car's rows in table Cars should say, by RowKey; none where it is no car of a lessor's."""
        car = self._find(asset_id)
        if car is None:
            return {}
        rows = self._marks(car)
        holders = [(self._keys[car.leases[number * FIELDS]], self._start(car, number)) for number in car.open]
        unspent = [(car.transaction(place), index, owners, amount) for place, index, owners, amount in car.unspent]
        last = car.transaction(len(car.applied) // ID_BYTES - 1) if car.applied else ""
        rows[f"{RECORD}{asset_id}"] = car_parts(holders, unspent, last)
        return rows

    def lease_row(self, asset_id: str, driver: str, transaction_id: str) -> Parts:
        """What the row of a driver's lease of this car should say; nothing where the ledger has no such lease."""
        car = self._find(asset_id)
        number = self._lease(car, driver, transaction_id) if car else None
        return self._lease_parts(car, asset_id, number) if car and number is not None else ()

    def has_driven(self, driver: str) -> bool:
        """Whether a driver has had a car."""
        return driver in self._numbers and driver not in self._lessors

    def unreadable(self, start: int) -> Iterator[tuple[str, str]]:
        """Asset ids of cars with a transaction that cannot be read, and its id.

        Not of those that need not be in the record, and are not: they have not moved since `start`.
        """
        return (
            (asset.hex(), car.unreadable)
            for asset, car in self._cars.items()
            if car.unreadable and (car.is_seen or car.moved > start)
        )

    def _marks(self, car: Car) -> dict[str, Parts]:
        """What the rows that mark the car's transactions as applied should say, by RowKey."""
        started: defaultdict[int, list[str]] = defaultdict(list)
        ended: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
        for number in range(len(car.leases) // FIELDS):
            driver, start, end = car.leases[number * FIELDS : number * FIELDS + 3]
            started[start].append(self._keys[driver])
            ended[end].append((self._keys[driver], car.transaction(start)))
        return {
            f"{TRANSACTION}{car.transaction(place)}": mark_parts(started[place], ended[place])
            for place in range(len(car.applied) // ID_BYTES)
        }

    def _lease(self, car: Car, driver: str, transaction_id: str) -> int | None:
        place = car.place(transaction_id)
        leases = range(len(car.leases) // FIELDS)
        number = bisect_left(leases, place, key=lambda one: car.leases[one * FIELDS + 1])
        while number < len(leases) and car.leases[number * FIELDS + 1] == place:
            if self._keys[car.leases[number * FIELDS]] == driver:
                return number
            number += 1
        return None

    def _lease_parts(self, car: Car, asset_id: str, number: int) -> Parts:
        end = car.leases[number * FIELDS + 2]
        return lease_parts(asset_id, "" if end == NOWHERE else car.transaction(end))

    def _start(self, car: Car, number: int) -> str:
        return car.transaction(car.leases[number * FIELDS + 1])

    # ---- what was seen of them

    def see_car(self, asset_id: str) -> None:
        """Table Cars has rows of this car."""
        if car := self._find(asset_id):
            car.is_seen = car.has_rows = True

    def see_lease(self, asset_id: str, driver: str, transaction_id: str) -> None:
        """The record has a row of this lease."""
        if car := self._find(asset_id):
            car.is_seen = True
            number = self._lease(car, driver, transaction_id)
            if number is not None:
                car.leases[number * FIELDS + 3] = 1

    def unseen_cars(self, start: int) -> Iterator[str]:
        """Asset ids of the cars of which table Cars should have rows, and none were seen.

        It should where the car has moved since block `start`, and where the record has a lease of it.
        """
        for asset, car in self._cars.items():
            if not car.has_rows and (car.is_seen or car.moved > start):
                yield asset.hex()

    def unjudged_cars(self, start: int) -> Iterator[str]:
        """Asset ids of the cars that need not be in the record, and are not: they have not moved since `start`."""
        return (asset.hex() for asset, car in self._cars.items() if not car.is_seen and car.moved <= start)

    def unseen_leases(self) -> Iterator[tuple[str, str, str, Parts]]:
        """Leases of which no row was seen, of cars of which some was: asset id, driver, start, what it should say."""
        for asset, car in self._cars.items():
            if car.is_seen:
                for number in range(len(car.leases) // FIELDS):
                    if not car.leases[number * FIELDS + 3]:
                        asset_id, driver = asset.hex(), self._keys[car.leases[number * FIELDS]]
                        yield asset_id, driver, self._start(car, number), self._lease_parts(car, asset_id, number)


def car_parts(
    holders: Collection[tuple[str, str]], unspent: Collection[tuple[str, int, tuple[str, ...], int]], last: str
) -> Parts:
    """What the record of a car says: holders as driver and lease, unspent outputs, the last transaction applied."""
    held = ", ".join(f"{driver} by lease {lease}" for driver, lease in sorted(holders))
    outputs = ", ".join(
        f"{transaction}:{index} of {'+'.join(owners)} ({amount})"
        for transaction, index, owners, amount in sorted(unspent)
    )
    return f"held by {held or 'no driver'}", f"unspent {outputs or 'nothing'}", f"last transaction {last or 'none'}"


def mark_parts(started: Collection[str], ended: Collection[tuple[str, str]]) -> Parts:
    """What the mark of a transaction says: whose leases it started, and which it ended, each with its driver."""
    ends = ", ".join(f"{lease} of {driver}" for driver, lease in sorted(ended))
    return "applied", f"leases started: {', '.join(sorted(started)) or 'none'}", f"leases ended: {ends or 'none'}"


def lease_parts(asset_id: str, end: str) -> Parts:
    """What the row of a lease says: its car, and the transaction that ended it, "" while it is open."""
    return f"car {asset_id}", f"ended by {end}" if end else "open"


def _packed(transaction_id: str) -> bytes:
    if not ID.fullmatch(transaction_id):
        raise UnfoldableError(f"a transaction of a car has an id that is none: {transaction_id[:70]!r}")
    return bytes.fromhex(transaction_id)
