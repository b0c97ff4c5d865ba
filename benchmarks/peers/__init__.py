"""What the usual ways to forward a ledger's events lose when a plug is pulled, beside Leasehook.

article, straightforward and node_red are the usual ways; ways starts them and the relay, accidents says what happens to
them, stand is what they run on, losses has one of them run through one accident, counting counts, measurements has all
of them run through all.
"""
