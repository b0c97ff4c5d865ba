"""Signed transactions made offline, as a lessor or a driver writes them, and what the ledger says to them.

The ledger's word is that of BigchainDB's own validation, over a list of transactions in place of its database.
"""

import base64
import copy
import hashlib
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import base58
import rapidjson
from bigchaindb_driver.common.transaction import Output
from bigchaindb_driver.crypto import CryptoKeypair
from bigchaindb_driver.offchain import fulfill_transaction, prepare_transaction
from cryptoconditions import Ed25519Sha256, Fulfillment, ThresholdSha256
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from functions.leasing.car import Car, LedgerEvent, decide
from functions.leasing.outcomes import Outcome
from functions.leasing.transactions import parse
from local.scenario import JsonObject, car, key_pair, spending

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from bigchaindb.models import Transaction as LedgerTransaction

LESSOR, OTHER_LESSOR, STRANGER = (key_pair(name) for name in ("lessor", "other lessor", "stranger"))
ANN, BOB, CAT = (key_pair(name) for name in ("Ann", "Bob", "Cat"))
LESSORS = frozenset({LESSOR.public_key, OTHER_LESSOR.public_key})
PAIRS = {pair.public_key: pair for pair in (LESSOR, OTHER_LESSOR, STRANGER, ANN, BOB, CAT)}
SEQUENCE = "000000000001-000000"

Share = tuple[Sequence[str], int]
"""Who gets how much: the public keys of joint owners, and their amount."""
Spent = tuple[JsonObject, int]
"""An output: its transaction, and its index there."""


def share(*owners: CryptoKeypair, amount: int = 1) -> Share:
    """`amount` shares for `owners` together: all must sign to give them away."""
    return [owner.public_key for owner in owners], amount


def create(*to: Share, by: CryptoKeypair = LESSOR, metadata: JsonObject | None = None) -> JsonObject:
    """The registration of a car, signed: one share for who signs, or the shares given."""
    prepared = prepare_transaction(
        operation="CREATE",
        signers=by.public_key,
        asset={"data": car("5YJRE11B781001174", "Tesla", "Roadster", 2008)},
        recipients=list(to) or None,
        metadata=metadata,
    )
    return signed(prepared, by)


def transfer(
    spent: JsonObject | Sequence[Spent],
    *to: CryptoKeypair | Share,
    metadata: JsonObject | None = None,
    by: Sequence[CryptoKeypair] | None = None,
) -> JsonObject:
    """A transfer of outputs, or of a transaction's first one, signed by those who own them, or by `by`."""
    outputs = spent if not isinstance(spent, dict) else [(spent, 0)]
    inputs = [_input(output, by) for output in outputs]
    shares = [share(one) if isinstance(one, CryptoKeypair) else one for one in to]
    prepared = prepare_transaction(
        operation="TRANSFER",
        asset={"id": asset_id(outputs[0][0])},
        inputs=inputs,
        recipients=shares,
        metadata=metadata,
    )
    return signed(prepared, *(PAIRS[key] for one in inputs for key in one["owners_before"]))


def with_outputs(spent: JsonObject, *outputs: JsonObject) -> JsonObject:
    """A transfer of a transaction's first output to these outputs, signed by those who own it."""
    prepared = prepare_transaction(
        operation="TRANSFER", asset={"id": asset_id(spent)}, inputs=spending(spent), recipients=STRANGER.public_key
    )
    prepared["outputs"] = list(outputs)
    return signed(prepared, *(PAIRS[key] for key in spent["outputs"][0]["public_keys"]))


def output(condition: Ed25519Sha256 | ThresholdSha256, *owners: CryptoKeypair, amount: int = 1) -> JsonObject:
    """An output with this condition, its `public_keys` being those of `owners`."""
    made: JsonObject = Output(condition, [owner.public_key for owner in owners], amount).to_dict()
    return made


def one_key(owner: CryptoKeypair) -> Ed25519Sha256:
    """The condition that `owner` signs."""
    return Ed25519Sha256(public_key=base58.b58decode(owner.public_key))


def threshold(least: int, *parts: CryptoKeypair | ThresholdSha256) -> ThresholdSha256:
    """The condition that at least `least` of the parts, each a key or a condition, are fulfilled."""
    condition = ThresholdSha256(least)
    for part in parts:
        condition.add_subfulfillment(one_key(part) if isinstance(part, CryptoKeypair) else part)
    return condition


def signed(prepared: JsonObject, *signers: CryptoKeypair) -> JsonObject:
    """A prepared transaction with the driver's signatures and id."""
    keys = [signer.private_key for signer in signers]
    made: JsonObject = rapidjson.loads(rapidjson.dumps(fulfill_transaction(prepared, private_keys=keys)))
    return made


def signed_by_hand(body: JsonObject, *signers: CryptoKeypair) -> JsonObject:
    """`body`, whatever it is, signed input by input with one key each, without the driver's checks."""
    made = copy.deepcopy(body)
    for one in made["inputs"]:
        one["fulfillment"] = None
    message = hashlib.sha3_256(_serialized(made | {"id": None}))
    fulfillments = []
    for one, signer in zip(made["inputs"], signers, strict=True):
        digest = message.copy()
        if one["fulfills"] is not None:
            digest.update("{transaction_id}{output_index}".format(**one["fulfills"]).encode())
        secret = Ed25519PrivateKey.from_private_bytes(base58.b58decode(signer.private_key))
        key, signature = base58.b58decode(signer.public_key), secret.sign(digest.digest())
        fulfillments.append(encoded(b"\xa4\x64\x80\x20" + key + b"\x81\x40" + signature))
    for one, fulfillment in zip(made["inputs"], fulfillments, strict=True):
        one["fulfillment"] = fulfillment
    return with_own_id(made)


def with_fulfillment(body: JsonObject, fulfillment: str | bytes) -> JsonObject:
    """The transaction with another fulfillment (text, or DER) in its first input, and the id that it has then."""
    text = fulfillment if isinstance(fulfillment, str) else encoded(fulfillment)
    first, *rest = body["inputs"]
    return with_own_id(body | {"inputs": [first | {"fulfillment": text}, *rest]})


def with_own_id(body: JsonObject) -> JsonObject:
    """The transaction with the id that its content has."""
    return body | {"id": hashlib.sha3_256(_serialized(body | {"id": None})).hexdigest()}


def encoded(der: bytes) -> str:
    """base64url without padding, as fulfillments are written."""
    return base64.urlsafe_b64encode(der).rstrip(b"=").decode()


def decoded(body: JsonObject) -> bytes:
    """The DER of the fulfillment in a transaction's first input."""
    text = body["inputs"][0]["fulfillment"]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def is_as_the_driver_writes_it(body: JsonObject) -> bool:
    """Whether the driver would write the fulfillment in the first input with the same characters."""
    text = body["inputs"][0]["fulfillment"]
    return bool(Fulfillment.from_uri(text).serialize_uri() == text)


def asset_id(body: JsonObject) -> str:
    """Id of the car that a transaction registers or moves."""
    return str(body["id"] if body["operation"] == "CREATE" else body["asset"]["id"])


def event(body: JsonObject, sequence: str = SEQUENCE, after: Car | None = None) -> LedgerEvent:
    """The transaction as the Function's domain gets it, following what `after` stands at."""
    return LedgerEvent(parse(body), body, sequence, after.last_transaction if after else "")


def events(bodies: Iterable[JsonObject]) -> list[LedgerEvent]:
    """The events of these transactions, one block each, each following its car's last one; one may come repeatedly."""
    made: dict[str, LedgerEvent] = {}
    last: dict[str, str] = {}
    return [
        made.get(body["id"]) or made.setdefault(body["id"], _next(body, f"{len(made) + 1:012d}-000000", last))
        for body in bodies
    ]


def _next(body: JsonObject, sequence: str, last: dict[str, str]) -> LedgerEvent:
    predecessor = last.get(asset_id(body), "")
    last[asset_id(body)] = body["id"]
    return LedgerEvent(parse(body), body, sequence, predecessor)


def fold(*bodies: JsonObject) -> Car:
    """The car after these transactions. Each must be applied."""
    found: Car | None = None
    for height, body in enumerate(bodies, start=1):
        decision = decide(found, event(body, f"{height:012d}-000000", found), LESSORS)
        assert decision.outcome is Outcome.APPLIED, decision
        found = decision.car
    assert found is not None
    return found


class Ledger:
    """BigchainDB's validation over the transactions that were committed. Stands in for its server."""

    def __init__(self, committed: Iterable[JsonObject] = ()) -> None:
        self._committed = {body["id"]: LedgerTransaction.from_dict(copy.deepcopy(body)) for body in committed}

    def accepts(self, body: JsonObject) -> bool:
        """Whether the ledger would commit this transaction next."""
        try:
            LedgerTransaction.from_dict(copy.deepcopy(body)).validate(self)
        except Exception:  # noqa: BLE001  on malformed bytes its libraries raise anything, RecursionError too
            return False
        return True

    def is_committed(self, transaction_id: str) -> bool:
        """What validation asks of the database before a CREATE."""
        return transaction_id in self._committed

    def get_transaction(self, transaction_id: str) -> Any:
        """What validation asks of the database for each input."""
        return self._committed.get(transaction_id)

    def get_spent(self, transaction_id: str, index: int, _current: Sequence[Any]) -> Any:
        """The transaction that spends an output, or None."""
        spending_it = (
            transaction
            for transaction in self._committed.values()
            for one in transaction.inputs
            if (one.fulfills.txid, one.fulfills.output) == (transaction_id, index)
        )
        return next(spending_it, None)


def _input(spent: Spent, by: Sequence[CryptoKeypair] | None) -> JsonObject:
    """The input that spends an output; those of its parts that `by` sign come first, since the driver takes these."""
    made = spending(*spent)
    if by is not None:
        keys = [one.public_key for one in by]
        made["owners_before"] = keys
        details = copy.deepcopy(made["fulfillment"])
        if "subconditions" in details:
            details["subconditions"].sort(key=lambda part: part.get("public_key") not in keys)
        made["fulfillment"] = details
    return made


def _serialized(body: JsonObject) -> bytes:
    text: str = rapidjson.dumps(body, ensure_ascii=False, sort_keys=True)
    return text.encode()
