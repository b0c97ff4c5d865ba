"""The insurer's Azure Function app: it applies ledger events to the record of drivers and serves that record.

api (HTTP) knows recording (use cases), recording knows records (Table Storage); all of them know the domain, leasing
and rating, which knows none of them.
"""
