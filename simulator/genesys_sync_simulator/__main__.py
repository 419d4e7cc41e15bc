"""`genesys-sync-simulator`: plays the published platform on this machine until it is told to end.

When it listens it prints one JSON line: apiUrl, loginUrl, clientId, clientSecret, controlUrl.
`genesys-sync-simulator providers` plays stand-in speech providers instead: transcriptionsUrl, jobsUrl, apiKey, callbackSecret, controlUrl.
Exit codes follow sysexits: 64 wrong use, 75 port taken, 74 truth log not writable, 78 scenario not playable.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, TypeVar

import anyio

from genesys_sync_simulator.clock import SystemClock
from genesys_sync_simulator.platform import DEFAULT_CLIENT, Platform, assemble
from genesys_sync_simulator.scenario import Scenario, ScenarioError
from genesys_sync_simulator.scenario_file import load, shipped

T = TypeVar("T")
EX_OK, EX_USAGE, EX_IOERR, EX_TEMPFAIL, EX_CONFIG = 0, 64, 74, 75, 78


class _CannotListen(Exception):
    """The port is taken, or cannot be had."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs until SIGTERM or SIGINT; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.what == "providers" and (options.truth_log or options.client_id or options.client_secret):
        parser.error("--truth-log, --client-id and --client-secret are options of the platform, not of the providers")
    try:
        scenario = _scenario(options)
    except ScenarioError as error:
        for problem in error.problems:
            print(f"genesys-sync-simulator: {problem}", file=sys.stderr)
        return EX_CONFIG
    if options.what == "providers":
        return _run(_serve_providers, scenario, options.port)
    try:
        platform = assemble(scenario, SystemClock(), truth_log=options.truth_log)
    except OSError as error:
        print(f"genesys-sync-simulator: the truth log {options.truth_log} cannot be written: {error.strerror}", file=sys.stderr)
        return EX_IOERR
    return _run(_serve, platform, options.port)


def _run(serve: Callable[[T, int], Awaitable[None]], what: T, port: int) -> int:
    try:
        anyio.run(serve, what, port)
    except _CannotListen as error:
        print(f"genesys-sync-simulator: {error}", file=sys.stderr)
        return EX_TEMPFAIL
    return EX_OK


class _Parser(argparse.ArgumentParser):
    """Wrong use is one sentence and exit 64, as with every command of this project."""

    def error(self, message: str) -> NoReturn:
        self.exit(EX_USAGE, f"{self.prog}: {message}\n")


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="genesys-sync-simulator", description="The Genesys Cloud platform as published, on this machine.")
    parser.add_argument("what", nargs="?", choices=("platform", "providers"), default="platform", help="what to play (default: platform)")
    parser.add_argument("--scenario", metavar="FILE", help=f"a TOML file, or one of those that are shipped: {', '.join(shipped())}")
    parser.add_argument("--port", type=_port, default=0, help="where to listen on 127.0.0.1 (default: any free port)")
    parser.add_argument("--truth-log", type=Path, metavar="PATH", help="append what is created and what goes wrong, as JSON Lines")
    parser.add_argument("--seed", type=_seed, metavar="N", help="another world of the same kind")
    parser.add_argument("--client-id", metavar="ID", help="the OAuth client that is let in")
    parser.add_argument("--client-secret", metavar="SECRET")
    return parser


def _scenario(options: argparse.Namespace) -> Scenario:
    scenario = load(options.scenario) if options.scenario else Scenario()
    if options.seed is not None:
        scenario = replace(scenario, seed=options.seed)
    first, *others = scenario.clients or (DEFAULT_CLIENT,)
    first = replace(first, id=options.client_id or first.id, secret=options.client_secret or first.secret)
    return replace(scenario, clients=(first, *others))


def _reason(error: OSError) -> str:
    """The system's own words; the event loop's would repeat the address."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


async def _serve(platform: Platform, port: int) -> None:
    # The listener and its tasks take a while to import; a bad scenario is told of before.
    from genesys_sync_simulator.server import running

    def ready() -> dict[str, str]:
        client, url = platform.tokens.clients[0], platform.base_url
        return {"apiUrl": url, "loginUrl": url, "clientId": client.id, "clientSecret": client.secret, "controlUrl": f"{url}/simulator"}

    await _until_told_to_end(running(platform, port=port), ready, port)


async def _serve_providers(scenario: Scenario, port: int) -> None:
    from genesys_sync_simulator.providers.server import assemble as providers
    from genesys_sync_simulator.providers.server import running

    desk = providers(scenario, SystemClock())

    def ready() -> dict[str, str]:
        urls = {"transcriptionsUrl": f"{desk.base_url}/v1/audio/transcriptions", "jobsUrl": f"{desk.base_url}/jobs"}
        secrets = {"apiKey": desk.rules.api_key, "callbackSecret": desk.rules.callback_secret}
        return {**urls, **secrets, "controlUrl": f"{desk.base_url}/simulator"}

    await _until_told_to_end(running(desk, port=port), ready, port)


async def _until_told_to_end(listening: AbstractAsyncContextManager[object], ready: Callable[[], dict[str, str]], port: int) -> None:
    """Prints the ready line once it listens, and ends with the first signal."""
    listens = False
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        try:
            async with listening:
                listens = True
                print(json.dumps(ready()), flush=True)
                async for _ in signals:
                    return
        except OSError as error:
            if listens:
                raise
            raise _CannotListen(f"port {port} on 127.0.0.1 cannot be used: {_reason(error)}") from None


if __name__ == "__main__":
    sys.exit(main())
