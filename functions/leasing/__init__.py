"""The domain of leases: what a transaction says, whether it is genuine, what it does to a car and its drivers."""
