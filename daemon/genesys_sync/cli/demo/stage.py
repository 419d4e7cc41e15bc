"""The processes of the demo: the simulator, the daemon, and a receiver for its webhooks. Real ones, over real sockets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import anyio
from aiohttp import ClientError, ClientSession, web
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

from genesys_sync.errors import EX_CONFIG, ConfigurationError, GenesysSyncError


@dataclass(frozen=True, slots=True)
class Platform:
    """Where the simulator listens, and the client that it accepts."""

    api_url: str
    login_url: str
    control_url: str
    client_id: str
    client_secret: str


@dataclass(slots=True)
class Receiver:
    """A webhook receiver that checks signatures as the Standard Webhooks specification says, with its own code."""

    url: str
    secret_file: Path
    accepted: set[str] = field(default_factory=set)
    refused: int = 0


@asynccontextmanager
async def simulator(folder: Path, *, scenario: str, seed: int | None) -> AsyncGenerator[Platform]:
    """The simulator as a process of its own, from ready to ended. Raises GenesysSyncError with its own words when it does not start."""
    command = [sys.executable, "-m", "genesys_sync_simulator", "--scenario", scenario, "--truth-log", str(folder / "truth.jsonl")]
    if seed is not None:
        command += ["--seed", str(seed)]
    with (folder / "simulator.log").open("wb") as log:
        process = await anyio.open_process(command, stdin=DEVNULL, stderr=log)
        try:
            yield await _announced(process, folder / "simulator.log")
        finally:
            with anyio.CancelScope(shield=True):
                await end(process, patience=5)


async def _announced(process: Process, log: Path) -> Platform:
    assert process.stdout is not None
    text = ""
    with anyio.move_on_after(30):
        async for chunk in TextReceiveStream(process.stdout):
            text += chunk
            if "\n" in text:
                said = json.loads(text.splitlines()[0])
                return Platform(said["apiUrl"], said["loginUrl"], said["controlUrl"], said["clientId"], said["clientSecret"])
    with anyio.move_on_after(5):
        if await process.wait() == EX_CONFIG:
            raise ConfigurationError(f"--scenario: {last_words(log)}")
    raise GenesysSyncError(f"the simulator did not start: {last_words(log)}")


def last_words(log: Path) -> str:
    """The last line that a process wrote."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


async def daemon(folder: Path, platform: Platform, *, settings: Path, overrides: Sequence[str]) -> Process:
    """`genesys-sync run` as a process of its own; its log goes to `daemon.log`, after what earlier ones wrote."""
    command = [sys.executable, "-m", "genesys_sync", "--settings", str(settings)]
    for override in overrides:
        command += ["--set", override]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GENESYS_", "NOTIFY_SOCKET", "SENTRY_"))}
    environment |= {"GENESYS_CLIENT_ID": platform.client_id, "GENESYS_CLIENT_SECRET": platform.client_secret}
    with (folder / "daemon.log").open("ab") as log:
        return await anyio.open_process([*command, "run"], stdin=DEVNULL, stdout=log, stderr=log, env=environment)


def log_size(folder: Path) -> int:
    """Bytes that daemons have written so far."""
    return (folder / "daemon.log").stat().st_size


def runs(folder: Path, *, since: int) -> bool:
    """Whether a daemon has said that it runs, after so many bytes of the log."""
    with (folder / "daemon.log").open("rb") as log:
        log.seek(since)
        return any(b"running" in line and b"organization_id" in line for line in log)


async def end(process: Process, *, patience: float) -> int:
    """SIGTERM, then SIGKILL when patience runs out; the exit status. An ended process is no error."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        with anyio.move_on_after(patience):
            return await process.wait()
        process.kill()
    return await process.wait()


@asynccontextmanager
async def receiver(folder: Path) -> AsyncGenerator[Receiver]:
    """A listener on loopback that accepts signed webhooks, counts their ids, and keeps them in `webhooks.jsonl`."""
    key = secrets.token_bytes(32)
    secret_file = folder / "webhook-secret"
    secret_file.touch(mode=0o600)
    secret_file.write_text("whsec_" + base64.b64encode(key).decode())
    state = Receiver(url="", secret_file=secret_file)

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        name = request.headers.get("webhook-id", "")
        signed = f"{name}.{request.headers.get('webhook-timestamp', '')}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        offered = request.headers.get("webhook-signature", "").split(" ")
        if not any(hmac.compare_digest(expected, one) for one in offered):
            state.refused += 1
            return web.Response(status=401)
        if name not in state.accepted:
            state.accepted.add(name)
            with (folder / "webhooks.jsonl").open("ab") as file:
                file.write(body + b"\n")
        return web.Response(status=204)

    application = web.Application()
    application.router.add_post("/webhooks", take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        state.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks"
        yield state
    finally:
        await runner.cleanup()


async def ask(session: ClientSession, platform: Platform, page: str) -> Mapping[str, Any] | None:
    """One of the simulator's own pages (`state`, `requests`), or None when it does not answer just now."""
    try:
        async with session.get(f"{platform.control_url}/{page}") as answer:
            answer.raise_for_status()
            found: Mapping[str, Any] = await answer.json()
            return found
    except (ClientError, TimeoutError, ConnectionError):
        return None


def keep(path: Path, page: Mapping[str, Any]) -> None:
    """One of the simulator's pages, for whoever looks later."""
    path.write_text(json.dumps(page, indent=2) + "\n")


def prepare(folder: Path) -> None:
    """An empty folder for this demo: what an earlier demo left there is removed, anything else is refused (ConfigurationError)."""
    marker = folder / ".genesys-sync-demo"
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder}: is not a folder; name another with --folder")
    if folder.exists() and not marker.exists() and any(folder.iterdir()):
        raise ConfigurationError(f"{folder}: is not empty and was not made by the demo; name another with --folder")
    if marker.exists():
        for path in sorted(folder.rglob("*"), key=lambda path: len(path.parts), reverse=True):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        marker.touch()
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be written: {error.strerror}; name another with --folder") from None
