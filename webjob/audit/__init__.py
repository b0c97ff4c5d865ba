"""The WebJob ledger-audit: an independent proof that the insurer's record equals the ledger, or where it does not.

It reads the ledger's blocks anew, folds them in its own way, and holds the raw rows of Drivers and Cars against that.
It shares no code with the Function app; ledger, tables and settings it reaches as the relay does.
"""
