"""The embedded stack for the demo and the tests: ledger, Azurite, Functions host, scenario. Nothing deployed imports it."""
