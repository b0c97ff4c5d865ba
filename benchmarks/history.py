"""Leasing histories of any size, from a seed: planned, signed, and committed to a ledger.

One lessor registers cars and leases them out; they go from driver to driver, alone or to two together, and back. Some
cars move far more often than others, and one driver takes part in far more leases. The same shape and seed give the
same history. `python -m benchmarks.history URL` commits one; how fast a ledger is read is not its business.
"""

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import msgspec
from bigchaindb_driver.crypto import CryptoKeypair
from bigchaindb_driver.offchain import fulfill_transaction, prepare_transaction

from benchmarks.command import Say
from local.scenario import car, key_pair, lease, spending
from local.writer import Writer

LESSOR = key_pair("the lessor")
WAVE = 1000
"""Transactions that are sent before their blocks are waited for, and in a full block of the local ledger."""
BLOCK_TIME_S = 4.0
"""The block time with which the local ledger fills its blocks: it takes about 300 transactions a second."""
RETURNED, JOINT, HOT_MOVES, HOT_LEASES = 0.3, 0.1, 0.2, 0.05
"""The parts of moves by which drivers give a car back, of leases to two drivers, of moves of the hot cars, and of
leases in which the hot driver, the first one, takes part."""
CARS_PER_HOT_CAR = 50
TERMS = lease("2026-04-01", "2029-03-31", 15_000)

Json = dict[str, Any]
Drivers = tuple[int, ...]
"""Those who have a car, counted from 0; none where it is the lessor."""


class Shape(msgspec.Struct, frozen=True):
    """How large a history is. No car moves twice in any `apart` transfers: its last one must be in a block."""

    cars: int
    transfers: int
    drivers: int = 500
    apart: int = 300

    @property
    def transactions(self) -> int:
        """CREATEs and TRANSFERs."""
        return self.cars + self.transfers


class Move(msgspec.Struct, frozen=True):
    """A car, counted from 0, goes from those who have it to others."""

    car: int
    owners: Drivers
    recipients: Drivers


class Story(msgspec.Struct, frozen=True):
    """A signed history: the cars' CREATEs, and the TRANSFERs that follow, each in the order of the plan."""

    registered: list[Json]
    moved: list[Json]

    @property
    def transactions(self) -> list[Json]:
        """All of them."""
        return [*self.registered, *self.moved]


def plan(shape: Shape, seed: int) -> list[Move]:
    """The moves of a history. Raises ValueError where there are too few cars for their rests, or too few drivers."""
    hot = max(1, shape.cars // CARS_PER_HOT_CAR)
    if shape.cars - hot <= shape.apart:
        raise ValueError(f"cars that rest for {shape.apart} transfers must be more than {shape.apart + hot}")
    if shape.drivers < 5:
        raise ValueError("there must be at least 5 drivers")
    dice = random.Random(f"history {seed}")  # noqa: S311  # the same seed is to give the same history
    owners: list[Drivers] = [()] * shape.cars
    moved_at = [-shape.apart] * shape.cars
    moves = []
    for place in range(shape.transfers):
        moved = dice.randrange(hot) if dice.random() < HOT_MOVES else dice.randrange(hot, shape.cars)
        while moved_at[moved] > place - shape.apart:
            moved = dice.randrange(hot, shape.cars)
        recipients = _next_owners(dice, owners[moved], shape.drivers)
        moves.append(Move(moved, owners[moved], recipients))
        owners[moved], moved_at[moved] = recipients, place
    return moves


def signed_story(shape: Shape, seed: int) -> Story:
    """The plan's history, signed."""
    registered = [_create(number, seed) for number in range(shape.cars)]
    last, moved = list(registered), []
    for move in plan(shape, seed):
        terms = TERMS if move.recipients else None
        last[move.car] = sign_joint_transfer(last[move.car], _keys(move.owners), _keys(move.recipients), terms)
        moved.append(last[move.car])
    return Story(registered, moved)


def waves(story: Story) -> Iterator[list[Json]]:
    """The transactions in runs of at most WAVE, in which none spends another of the same run."""
    wave: list[Json] = []
    cars: set[str] = set()
    for one in story.transactions:
        moved = asset_of(one)
        if len(wave) == WAVE or moved in cars:
            yield wave
            wave, cars = [], set()
        wave.append(one)
        cars.add(moved)
    yield wave


def commit_story(url: str, story: Story, say: Say) -> None:
    """Commit a history to the ledger at `url`; `say` is told how far it is. Raises LedgerRefusedError.

    Each wave is in blocks before the next one is sent: the server refuses a transaction whose predecessor is not.
    """
    writer = Writer(url)
    for wave in waves(story):
        writer.commit(wave)
        say(f"history: {writer.committed:,} of {len(story.transactions):,} transactions are on the ledger")


def asset_of(transaction: Json) -> str:
    """Id of the asset that a transaction makes or moves."""
    return str(transaction["id"] if transaction["operation"] == "CREATE" else transaction["asset"]["id"])


def sign_create(data: Json) -> Json:
    """The lessor's signed CREATE of a car."""
    prepared = prepare_transaction(operation="CREATE", signers=LESSOR.public_key, asset={"data": data})
    return _fulfilled(prepared, [LESSOR])


def sign_transfer(spent: Json, owner: CryptoKeypair, recipient: CryptoKeypair, metadata: Json | None = None) -> Json:
    """The owner's signed TRANSFER of a car, given the transaction by which it is the owner's."""
    return sign_joint_transfer(spent, [owner], [recipient], metadata)


def sign_joint_transfer(
    spent: Json, owners: Sequence[CryptoKeypair], recipients: Sequence[CryptoKeypair], metadata: Json | None = None
) -> Json:
    """The TRANSFER of a car that all its owners sign, to all recipients together."""
    prepared = prepare_transaction(
        operation="TRANSFER",
        asset={"id": asset_of(spent)},
        metadata=metadata,
        inputs=spending(spent),
        recipients=[([one.public_key for one in recipients], 1)],
    )
    return _fulfilled(prepared, owners)


def _next_owners(dice: random.Random, owners: Drivers, drivers: int) -> Drivers:
    """Who gets a car next: none of those who have it."""
    if owners and dice.random() < RETURNED:
        return ()
    wanted = 2 if dice.random() < JOINT else 1
    found: list[int] = [0] if dice.random() < HOT_LEASES and 0 not in owners else []
    while len(found) < wanted:
        one = dice.randrange(1, drivers)
        if one not in owners and one not in found:
            found.append(one)
    return tuple(found)


def _create(number: int, seed: int) -> Json:
    return sign_create(car(f"VIN{seed:06d}{number:08d}", "Volkswagen", "Golf", 2020 + number % 6))


@cache
def _keys(drivers: Drivers) -> list[CryptoKeypair]:
    return [key_pair(f"driver {one}") for one in drivers] or [LESSOR]


def _fulfilled(prepared: Json, signers: Sequence[CryptoKeypair]) -> Json:
    signed: Json = fulfill_transaction(prepared, private_keys=[one.private_key for one in signers])
    return signed


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__.partition("\n")[0])
    parser.add_argument("url", help="the ledger's HTTP address")
    parser.add_argument("--cars", type=int, default=2_000)
    parser.add_argument("--transfers", type=int, default=10_000)
    parser.add_argument("--drivers", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    shape = Shape(asked.cars, asked.transfers, asked.drivers)
    commit_story(asked.url, signed_story(shape, asked.seed), lambda line: print(line, file=sys.stderr))
    return 0


if __name__ == "__main__":
    sys.exit(main())
