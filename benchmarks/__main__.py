"""All measurements, one after the other: `make bench`. A module named alone takes its own arguments: `python -m benchmarks.ledger`."""

from benchmarks import feed, ledger, redaction, uploads

if __name__ == "__main__":
    ledger.main()
    feed.main()
    redaction.main([])
    uploads.main([])
