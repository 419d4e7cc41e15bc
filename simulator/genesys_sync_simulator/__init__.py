"""The Genesys Cloud platform as published, on this machine."""
