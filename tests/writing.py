"""Signed transactions without a ledger, and the events that carry them. What the lessor and the drivers would write."""

import hashlib
import itertools
import secrets
from typing import Any

import base58
from bigchaindb_driver.common.utils import serialize
from bigchaindb_driver.crypto import CryptoKeypair, generate_keypair
from bigchaindb_driver.offchain import fulfill_transaction, prepare_transaction
from cryptoconditions import Ed25519Sha256

from local.scenario import spending

Json = dict[str, Any]
SOURCE = "urn:bigchaindb:local"
_vins = itertools.count()


def new_keys() -> CryptoKeypair:
    """Keys that no other test has."""
    return generate_keypair(secrets.token_bytes(32))


def create(signer: CryptoKeypair, data: Json | None = None, to: str | None = None) -> Json:
    """A signed CREATE of an asset that no other test has."""
    prepared = prepare_transaction(
        operation="CREATE",
        signers=signer.public_key,
        recipients=to or signer.public_key,
        asset={"data": data or new_car()},
    )
    return fulfilled(prepared, signer)


def new_car() -> Json:
    """Asset data of a car that no other test has."""
    return {"@type": "Car", "vehicleIdentificationNumber": f"VIN-{secrets.token_hex(4)}-{next(_vins)}"}


def spoofed_create(claimed: str, signer: CryptoKeypair) -> Json:
    """A CREATE whose owners_before names `claimed`, while it is `signer` who signed it and owns the asset."""
    body = create(signer)
    body["inputs"][0] |= {"owners_before": [claimed], "fulfillment": None}
    message = hashlib.sha3_256(serialize(body | {"id": None}).encode()).digest()
    fulfillment = Ed25519Sha256(public_key=base58.b58decode(signer.public_key))
    fulfillment.sign(message, base58.b58decode(signer.private_key))
    body["inputs"][0]["fulfillment"] = fulfillment.serialize_uri()
    body["id"] = hashlib.sha3_256(serialize(body | {"id": None}).encode()).hexdigest()
    return body


def transfer(spent: Json, signer: CryptoKeypair, to: str, metadata: Json | None = None) -> Json:
    """A signed TRANSFER of the first output of `spent`."""
    prepared = prepare_transaction(
        operation="TRANSFER",
        asset={"id": spent["id"] if spent["operation"] == "CREATE" else spent["asset"]["id"]},
        metadata=metadata,
        inputs=spending(spent),
        recipients=to,
    )
    return fulfilled(prepared, signer)


def fulfilled(prepared: Json, signer: CryptoKeypair) -> Json:
    """The transaction, signed."""
    signed: Json = fulfill_transaction(prepared, private_keys=signer.private_key)
    return signed


def event(transaction: Json, height: int = 1, position: int = 0) -> Json:
    """The CloudEvent of a transaction, as the contract has it."""
    asset = transaction["id"] if transaction["operation"] == "CREATE" else transaction["asset"]["id"]
    return {
        "specversion": "1.0",
        "id": transaction["id"],
        "source": SOURCE,
        "type": "bigchaindb.transaction.committed",
        "subject": asset,
        "partitionkey": asset,
        "sequence": f"{height:012d}-{position:06d}",
        "datacontenttype": "application/json",
        "data": transaction,
    }
