"""From the notification socket to the ledger."""
