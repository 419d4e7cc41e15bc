"""The built-in handlers. They enter by the same door as anybody's and use `genesys_sync.plugin` alone."""
