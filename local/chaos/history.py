"""A random leasing history, valid on the ledger, decided by its seed alone: it comes in waves, and no wave moves an
asset twice, since the server refuses a transaction whose predecessor is not committed yet.

Lessors register cars, whole ones and ones divided into shares, and lease them to drivers, alone or jointly; these hand
them on, renew and return them; shares are split and joined; cars are sold to another lessor. Beside them are cars of a
lessor that nobody trusts, and assets that are no cars.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bigchaindb_driver.crypto import CryptoKeypair
from bigchaindb_driver.offchain import fulfill_transaction, prepare_transaction

from local.scenario import car, key_pair, lease

LESSORS = (key_pair("the first lessor"), key_pair("the second lessor"))
UNTRUSTED = key_pair("a lessor that nobody trusts")
STRANGERS = tuple(key_pair(f"stranger {number}") for number in range(3))
DRIVERS = tuple(key_pair(f"driver {number}") for number in range(80))
HOT_DRIVERS = DRIVERS[:4]
"""These take part in one transfer of five."""
REGISTERED = 0.08
"""The part of transactions that register an asset."""
HOT_ASSETS, HOT_MOVES = 20, 0.3
"""So many assets make so large a part of the moves."""
SHARES = 12
MODELS = (("Volkswagen", "Golf"), ("Renault", "Zoe"), ("Volvo", "XC40"), ("Fiat", "Ducato"), ("Tesla", "Roadster"))

Json = dict[str, Any]
Keys = tuple[CryptoKeypair, ...]


@dataclass(frozen=True)
class Output:
    """An output that is not spent: where it stands, who can spend it together, and how many shares it has."""

    transaction: Json
    index: int
    owners: Keys
    amount: int


@dataclass
class Asset:
    """An asset: who registered it, and its unspent outputs."""

    lessor: CryptoKeypair
    is_car: bool
    unspent: list[Output] = field(default_factory=list)


class History:
    """The history of one seed. Each wave depends on the ones before it, and on nothing else."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(f"history {seed}")
        self._assets: list[Asset] = []
        self._registered = 0

    def waves(self, size: int) -> Iterator[list[Json]]:
        """Signed transactions, some `size` at a time, without end."""
        while True:
            # Waves differ in size as days do; now and then there is a burst.
            yield self._wave(max(1, round(size * self._dice.choice((0.2, 0.6, 1.0, 1.0, 1.0, 1.2, 2.0)))))

    def _wave(self, size: int) -> list[Json]:
        moved = self._pick(size) if self._assets else []
        signed = [self._move(asset) for asset in moved]
        while len(signed) < size and (not moved or self._dice.random() < REGISTERED * size):
            signed.append(self._register())
        return signed

    def _pick(self, size: int) -> list[Asset]:
        """Assets to move, each once; the hot ones more often than others."""
        hot, others = self._assets[:HOT_ASSETS], self._assets[HOT_ASSETS:]
        wanted = max(1, round(size * (1 - REGISTERED)))
        picked = self._dice.sample(hot, min(len(hot), max(1, round(wanted * HOT_MOVES))))
        return picked + self._dice.sample(others, min(len(others), max(0, wanted - len(picked))))

    # ---- what can happen

    def _register(self) -> Json:
        self._registered += 1
        make, model = self._dice.choice(MODELS)
        data = car(f"CHAOS{self._registered:012d}", make, model, 2015 + self._dice.randrange(12))
        kind = self._dice.random()
        if kind < 0.05:
            asset, data = Asset(self._dice.choice(STRANGERS), is_car=False), {"thing": f"no car {self._registered}"}
        elif kind < 0.12:
            asset = Asset(UNTRUSTED, is_car=True)
        else:
            asset = Asset(self._dice.choice(LESSORS), is_car=True)
        shares = [SHARES] if self._dice.random() < 0.15 else [1]
        if shares == [SHARES] and self._dice.random() < 0.5:
            shares = [5, SHARES - 5]
        to = [((asset.lessor,), amount) for amount in shares]
        prepared = prepare_transaction(
            operation="CREATE", signers=asset.lessor.public_key, asset={"data": data}, recipients=_recipients(to)
        )
        self._assets.append(asset)
        return self._signed(asset, prepared, [asset.lessor], to)

    def _move(self, asset: Asset) -> Json:
        """A transfer of one output of the asset, or of several."""
        many = min(len(asset.unspent), 1 if self._dice.random() < 0.7 else self._dice.choice((2, 3)))
        spent = self._dice.sample(asset.unspent, many)
        total = sum(output.amount for output in spent)
        to = [(self._next_owners(asset, spent[0].owners), amount) for amount in self._split(total)]
        prepared = prepare_transaction(
            operation="TRANSFER",
            asset={"id": _asset_id(spent[0].transaction)},
            metadata=self._terms(),
            inputs=[_input(output) for output in spent],
            recipients=_recipients(to),
        )
        asset.unspent = [output for output in asset.unspent if output not in spent]
        signers = list(dict.fromkeys(owner for output in spent for owner in output.owners))
        return self._signed(asset, prepared, signers, to)

    def _split(self, total: int) -> list[int]:
        """Amounts that add up to `total`."""
        parts = min(total, self._dice.choice((1, 1, 2, 3)))
        cuts = sorted(self._dice.sample(range(1, total), parts - 1))
        return [end - begin for begin, end in zip([0, *cuts], [*cuts, total], strict=True)]

    def _next_owners(self, asset: Asset, owners: Keys) -> Keys:
        """Who gets it: drivers, from a lessor; from drivers a driver, two, the same ones, or the lessor."""
        chance = self._dice.random()
        is_leased = owners[0] in DRIVERS
        if not asset.is_car:
            return (self._dice.choice(STRANGERS),)
        if is_leased and chance < 0.3:
            return (asset.lessor,)
        if is_leased and chance < 0.4:
            return owners
        if not is_leased and chance < 0.04 and asset.lessor in LESSORS:
            asset.lessor = self._dice.choice(LESSORS)
            return (asset.lessor,)
        drivers = HOT_DRIVERS if self._dice.random() < 0.2 else DRIVERS
        return tuple(self._dice.sample(drivers, 2 if chance > 0.88 else 1))

    def _terms(self) -> Json | None:
        """Lease terms: mostly as they should be, at times none, at times odd."""
        chance = self._dice.random()
        if chance < 0.1:
            return None
        if chance < 0.2:
            return self._dice.choice(
                ({"lease": None}, {"lease": {"startDate": "soon"}}, {"lease": {"endDate": 7}}, {"note": "no terms"})
            )
        start, years = self._dice.randrange(2024, 2027), self._dice.randrange(1, 5)
        month = self._dice.randrange(1, 13)
        return lease(f"{start}-{month:02}-01", f"{start + years}-{month:02}-01", 5_000 * self._dice.randrange(1, 8))

    def _signed(self, asset: Asset, prepared: Json, signers: list[CryptoKeypair], to: list[tuple[Keys, int]]) -> Json:
        """The transaction, signed, its outputs noted with the asset."""
        signed: Json = fulfill_transaction(prepared, private_keys=[signer.private_key for signer in signers])
        asset.unspent += [Output(signed, index, owners, amount) for index, (owners, amount) in enumerate(to)]
        return signed


def _recipients(to: list[tuple[Keys, int]]) -> list[tuple[list[str], int]]:
    return [([owner.public_key for owner in owners], amount) for owners, amount in to]


def _asset_id(transaction: Json) -> str:
    return str(transaction["id"] if transaction["operation"] == "CREATE" else transaction["asset"]["id"])


def _input(output: Output) -> Json:
    stands = output.transaction["outputs"][output.index]
    return {
        "fulfillment": stands["condition"]["details"],
        "fulfills": {"output_index": output.index, "transaction_id": output.transaction["id"]},
        "owners_before": stands["public_keys"],
    }
