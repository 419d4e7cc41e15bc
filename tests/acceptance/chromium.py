"""A real browser, driven over its own protocol: what a page shows, what it complains of, and whom it talks to."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
PATIENCE = 60.0


def found() -> str | None:
    """The browser's program; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Page:
    """One tab. `asked` are the URLs that it requested, `complaints` what stood in its console as an error or a warning."""

    socket: ClientConnection
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    loaded: int = 0

    def call(self, method: str, **parameters: Any) -> Any:
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        deadline = time.monotonic() + PATIENCE
        while True:
            said = json.loads(self.socket.recv(timeout=deadline - time.monotonic()))
            if said.get("id") == number:
                assert "error" not in said, said
                return said["result"]
            self._hear(said)

    def open(self, url: str) -> None:
        """Go there; the page has loaded when this returns."""
        before = self.loaded
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + PATIENCE
        while self.loaded == before:
            self._hear(json.loads(self.socket.recv(timeout=deadline - time.monotonic())))

    def run(self, script: str) -> Any:
        """The value of an expression; of a promise its result."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def look(self, *, width: int, height: int, dark: bool = False, phone: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def _hear(self, said: dict[str, Any]) -> None:
        method, parameters = said.get("method"), said.get("params", {})
        if method == "Network.requestWillBeSent":
            self.asked.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(parameters["args"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
        elif method == "Page.loadEventFired":
            self.loaded += 1


@contextmanager
def browsing(program: str, folder: Path) -> Iterator[Page]:
    """A browser with one tab; ended afterwards."""
    profile = folder / "profile"
    options = [
        "--headless=new",
        "--remote-debugging-port=0",
        "--no-first-run",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
    ]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []
    with (folder / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            [program, *options, f"--user-data-dir={profile}", "about:blank"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            with connect(_tab(process, profile / "DevToolsActivePort", folder), max_size=64 << 20) as socket:
                page = Page(socket)
                for part in ("Page", "Network", "Runtime", "Log"):
                    page.call(f"{part}.enable")
                yield page
        finally:
            process.terminate()
            process.wait(30)


def _tab(process: subprocess.Popen[bytes], told: Path, folder: Path) -> str:
    """The socket of its first tab, once the browser has said where it listens."""
    import urllib.request

    deadline = time.monotonic() + PATIENCE
    while not (told.exists() and told.read_text().count("\n")):
        assert process.poll() is None, (folder / "browser.log").read_text(errors="replace")
        assert time.monotonic() < deadline, "the browser did not say where it listens"
        time.sleep(0.1)
    port = told.read_text().splitlines()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as answer:
        return next(tab["webSocketDebuggerUrl"] for tab in json.load(answer) if tab["type"] == "page")
