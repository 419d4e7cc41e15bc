"""From the ledger to the handlers and back."""
