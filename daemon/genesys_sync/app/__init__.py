"""The daemon as a whole: what it is made of, and how it lives from the first signal to the last.

    start   settings are proved → ledger → archive → platform → providers → health listener → handlers → dispatcher → sealer → feed → READY
    stop    STOPPING → feed → dispatcher drains → handlers → last seal → platform → ledger

composition   opens everything in the order in which one thing needs another, and closes it in the reverse order
life          runs it in one task group, obeys signals, drains, goes on under other settings
condition     what is known of the whole: what the health listener reports

The daemon does not end because the platform is away: it waits. It ends for what waiting cannot mend, with one sentence:
settings that cannot be used, an OAuth client that is refused at the start, a ledger or folder that cannot be written,
a port that is taken, an fsync that failed.
"""

from genesys_sync.app.life import run

__all__ = ["run"]
