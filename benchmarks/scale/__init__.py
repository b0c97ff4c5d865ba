"""Counts what one lease event costs: requests to Table Storage, entities, bytes, and round trips that wait for another.

Counts do not depend on the machine. What they mean in Azure is worked out in docs/scale.md and docs/costs.md.
"""
