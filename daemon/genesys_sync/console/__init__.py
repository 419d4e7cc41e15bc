"""The status page: what `status`, `/readyz` and `report --offline` know, for people. It shows, and does nothing."""
