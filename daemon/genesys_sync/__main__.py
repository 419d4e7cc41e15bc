"""`python -m genesys_sync`, and the command `genesys-sync`: what happens before the command's own modules can be imported."""

import signal

INTERRUPTED = 130


def main() -> int:
    """Run the command and return its exit code. Ctrl-C while it is still being imported ends it like any other: 130, without a word."""
    try:
        from genesys_sync.cli import main as run_command

        return run_command()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one, while the interpreter ends, would show where it was
        return INTERRUPTED


if __name__ == "__main__":
    raise SystemExit(main())
