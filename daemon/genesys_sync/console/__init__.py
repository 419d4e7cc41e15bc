"""The status page: what `status`, `/readyz` and `report --offline` know, for people. It shows, and does nothing.

readings   what the ledger says, read as the commands read it, at a cost that has a bound
document   those readings and what the process knows of itself, as one JSON document; pure
page       the document as HTML; pure
serving    both over HTTP, on the health listener
"""

from genesys_sync.console.serving import Console

__all__ = ["Console"]
