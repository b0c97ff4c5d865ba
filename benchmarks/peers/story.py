"""A seeded leasing history, signed beforehand: cars are registered, then move at an even rate, with a rest between."""

import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from bigchaindb_driver.crypto import CryptoKeypair

from benchmarks.history import LESSOR, Json, Move, sign_create, sign_transfer
from local.scenario import car, key_pair, lease

REST_S = 2
"""So many seconds a car rests: its last transaction must be in a block before the next one is sent."""
DRIVERS = 100
RETURNED = 0.3
TERMS = lease("2026-04-01", "2029-03-31", 15_000)


@dataclass(frozen=True, slots=True)
class Story:
    """Signed transactions: the cars' CREATEs, and the TRANSFERs that follow at `rate` a second."""

    registered: list[Json]
    moved: list[Json]
    rate: int

    @property
    def transactions(self) -> int:
        """How many there are."""
        return len(self.registered) + len(self.moved)


def plan(cars: int, moves: int, rate: int, seed: int) -> list[Move]:
    """The moves of so many cars at `rate` a second. Raises ValueError where there are too few cars for their rests."""
    if cars <= REST_S * rate:
        raise ValueError(f"{rate} moves a second take more than {REST_S * rate} cars, not {cars}")
    dice = random.Random(f"peers {seed}")  # noqa: S311  # the same seed is to give the same history
    owners, moved_at = [-1] * cars, [-REST_S * rate] * cars
    planned = []
    for place in range(moves):
        moved = dice.choice([one for one in range(cars) if moved_at[one] <= place - REST_S * rate])
        owner = owners[moved]
        is_returned = owner >= 0 and dice.random() < RETURNED
        owners[moved] = -1 if is_returned else (owner + 1 + dice.randrange(DRIVERS - 1)) % DRIVERS
        moved_at[moved] = place
        planned.append(Move(moved, owner, owners[moved]))
    return planned


def signed_story(cars: int, moves: int, rate: int, seed: int) -> Story:
    """The plan's history, signed."""
    last = [sign_create(car(f"PEERS{seed:04d}{one:08d}", "Volkswagen", "Golf", 2020 + one % 6)) for one in range(cars)]
    registered, moved = list(last), []
    for move in plan(cars, moves, rate, seed):
        terms = None if move.recipient < 0 else TERMS
        last[move.car] = sign_transfer(last[move.car], _keys(move.owner), _keys(move.recipient), terms)
        moved.append(last[move.car])
    return Story(registered, moved, rate)


def paced(signed: Iterable[Json], rate: int) -> Iterator[Json]:
    """The transactions, so many a second."""
    began = time.monotonic()
    for place, one in enumerate(signed):
        time.sleep(max(0.0, began + place / rate - time.monotonic()))
        yield one


@cache
def _keys(owner: int) -> CryptoKeypair:
    return LESSOR if owner < 0 else key_pair(f"driver {owner}")
