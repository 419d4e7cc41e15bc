"""`python -m genesys_sync`: the same as the command `genesys-sync`."""

from genesys_sync.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
