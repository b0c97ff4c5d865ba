"""The leasing company and its drivers: registers cars and transfers them on a ledger, with bigchaindb-driver.

It knows the ledger alone, as the lessor's own software would.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from bigchaindb_driver import BigchainDB
from bigchaindb_driver.crypto import CryptoKeypair, generate_keypair

JsonObject = dict[str, Any]


def key_pair(name: str) -> CryptoKeypair:
    """A key pair that is the same for the same name in every run. For play only: anybody can make it."""
    return generate_keypair(hashlib.sha256(f"leasehook local {name}".encode()).digest())


def car(vin: str, manufacturer: str, model: str, year: int) -> JsonObject:
    """A car's asset data, after schema.org/Car."""
    return {
        "@type": "Car",
        "vehicleIdentificationNumber": vin,
        "manufacturer": manufacturer,
        "model": model,
        "vehicleModelDate": str(year),
    }


def lease(start: str, end: str, annual_mileage: int) -> JsonObject:
    """Metadata of a transfer that is a lease; dates as YYYY-MM-DD, mileage in km."""
    return {"lease": {"startDate": start, "endDate": end, "annualMileage": annual_mileage}}


class LedgerClient:
    """Writes to one ledger. Every method returns the transaction as it was committed."""

    def __init__(self, url: str) -> None:
        self._driver = BigchainDB(url, timeout=20)

    def create(self, signer: CryptoKeypair, asset: JsonObject) -> JsonObject:
        """Register an asset of one share, owned by who signs."""
        prepared = self._driver.transactions.prepare(
            operation="CREATE", signers=signer.public_key, asset={"data": asset}
        )
        return self.commit(self._driver.transactions.fulfill(prepared, private_keys=signer.private_key))

    def transfer(
        self, spent: Mapping[str, Any], signer: CryptoKeypair, to: str, metadata: JsonObject | None = None
    ) -> JsonObject:
        """Transfer the one share that the transaction `spent` gave to the signer, to the public key `to`."""
        prepared = self._driver.transactions.prepare(
            operation="TRANSFER",
            asset={"id": spent["id"] if spent["operation"] == "CREATE" else spent["asset"]["id"]},
            metadata=metadata,
            inputs=spending(spent),
            recipients=to,
        )
        return self.commit(self._driver.transactions.fulfill(prepared, private_keys=signer.private_key))

    def height_of(self, transaction_id: str) -> int:
        """Height of the block that holds a transaction."""
        return int(self._driver.blocks.get(txid=transaction_id))

    def commit(self, signed: JsonObject) -> JsonObject:
        """Send a signed transaction, and wait until a block holds it."""
        committed: JsonObject = self._driver.transactions.send_commit(signed)
        return committed


def spending(spent: Mapping[str, Any], output_index: int = 0) -> JsonObject:
    """The input that spends an output of a transaction."""
    output = spent["outputs"][output_index]
    return {
        "fulfillment": output["condition"]["details"],
        "fulfills": {"output_index": output_index, "transaction_id": spent["id"]},
        "owners_before": output["public_keys"],
    }
