"""The speech providers that come with genesys-sync: entry points of group `genesys_sync.providers`."""
