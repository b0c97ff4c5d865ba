"""Commits a leasing history to a ledger, as fast as it takes it: `python -m benchmarks.history URL`.

One lessor registers cars and leases them out; they go from driver to driver and back. The same seed gives the same
history. It is written in waves: no wave moves a car twice, and each is committed before the next one is sent, because
the server refuses a transaction whose predecessor is not committed. How fast the ledger is read is not its business.
"""

import argparse
import random
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from bigchaindb_driver.crypto import CryptoKeypair
from bigchaindb_driver.offchain import fulfill_transaction, prepare_transaction

from benchmarks.command import Say
from local.scenario import car, key_pair, lease, spending
from local.writer import Writer

LESSOR = key_pair("the lessor")
WAVE = 1000
"""Transactions in a wave, and in a full block of the local ledger."""
BLOCK_TIME_S = 4.0
"""The block time with which the local ledger fills its blocks: it takes about 300 transactions a second."""
TRANSACTIONS_PER_CAR = 6
"""On average, where there are more cars than fill a wave."""
CARS_PER_HOT_CAR = 50
"""One car in so many moves in every wave."""
DRIVERS = 500
RETURNED = 0.3
"""The part of moves by which a driver gives a car back."""

Json = dict[str, Any]


class Move(msgspec.Struct, frozen=True):
    """A car goes from one key to another. Cars are counted from 0, and so are drivers; the lessor is -1."""

    car: int
    owner: int
    recipient: int


def plan(transactions: int, seed: int) -> tuple[int, list[list[Move]]]:
    """How many cars there are, and the waves of moves after their CREATEs; `transactions` in all."""
    dice = random.Random(seed)  # noqa: S311  # the same seed is to give the same history
    cars = max(min(WAVE, transactions), transactions // TRANSACTIONS_PER_CAR)
    hot = list(range(0, cars, CARS_PER_HOT_CAR))
    others = [one for one in range(cars) if one % CARS_PER_HOT_CAR]
    owners = [-1] * cars
    waves, left = [], transactions - cars
    while left:
        moved = (hot + dice.sample(others, min(len(others), max(0, WAVE - len(hot)))))[:left]
        wave = [_move(dice, one, owners) for one in moved]
        waves.append(wave)
        left -= len(wave)
    return cars, waves


def commit_history(url: str, transactions: int, say: Say, seed: int = 1) -> None:
    """Commit a history of so many transactions to the ledger at `url`; `say` is told how far it is.

    Returns when all of it is in blocks. Raises LedgerRefusedError.
    """
    cars, waves = plan(transactions, seed)
    writer = Writer(url)
    last = writer.commit(_create(one, seed) for one in range(cars))
    for wave in waves:
        say(f"history: {writer.committed} of {transactions} transactions")
        for move, moved in zip(wave, writer.commit(_transfer(last[move.car], move) for move in wave), strict=True):
            last[move.car] = moved
    say(f"history: {writer.committed} of {transactions} transactions")


def sign_create(data: Json) -> Json:
    """The lessor's signed CREATE of a car."""
    prepared = prepare_transaction(operation="CREATE", signers=LESSOR.public_key, asset={"data": data})
    return _fulfilled(prepared, LESSOR)


def sign_transfer(spent: Json, owner: CryptoKeypair, recipient: CryptoKeypair, metadata: Json | None = None) -> Json:
    """The owner's signed TRANSFER of a car, given the transaction by which it is the owner's."""
    prepared = prepare_transaction(
        operation="TRANSFER",
        asset={"id": spent["id"] if spent["operation"] == "CREATE" else spent["asset"]["id"]},
        metadata=metadata,
        inputs=spending(spent),
        recipients=recipient.public_key,
    )
    return _fulfilled(prepared, owner)


def _move(dice: random.Random, moved: int, owners: list[int]) -> Move:
    """The next move of a car, noted in `owners`."""
    owner = owners[moved]
    is_returned = owner >= 0 and dice.random() < RETURNED
    owners[moved] = -1 if is_returned else (owner + 1 + dice.randrange(DRIVERS - 1)) % DRIVERS
    return Move(moved, owner, owners[moved])


def _create(one: int, seed: int) -> Json:
    return sign_create(car(f"VIN{seed:06d}{one:08d}", "Volkswagen", "Golf", 2020 + one % 6))


def _transfer(spent: Json, move: Move) -> Json:
    terms = None if move.recipient < 0 else lease("2026-04-01", "2029-03-31", 15_000)
    return sign_transfer(spent, _keys(move.owner), _keys(move.recipient), terms)


def _keys(owner: int) -> CryptoKeypair:
    return LESSOR if owner < 0 else key_pair(f"driver {owner}")


def _fulfilled(prepared: Json, signer: CryptoKeypair) -> Json:
    signed: Json = fulfill_transaction(prepared, private_keys=signer.private_key)
    return signed


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__.partition("\n")[0])
    parser.add_argument("url", help="the ledger's HTTP address")
    parser.add_argument("--transactions", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    commit_history(asked.url, asked.transactions, lambda line: print(line, file=sys.stderr), asked.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
