"""The ledger: events, and the state of their deliveries."""
