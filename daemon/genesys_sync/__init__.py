"""genesys-sync: keeps a contact centre's Genesys Cloud recordings in step with its own verified archive."""

__version__ = "0.1.0"
