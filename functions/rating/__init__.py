"""The domain of premiums: the tariff, the bonus-malus scale, and how a driver's past history makes a price."""
