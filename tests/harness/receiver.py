"""The receiver of webhooks: keeps every request, and answers as ill-mannered as it is told to."""

from __future__ import annotations

import base64
import secrets
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .formats import Request, as_line, request

Manners = Callable[[str, int], str]
"""From a webhook-id and which attempt of it this is (1 is the first) to one of: ok, cut, fail, slow, redirect, huge, later, gone."""

HUGE = 1 << 30
_LARGEST = 1 << 20


class _Server(ThreadingHTTPServer):
    """Says nothing of connections that a killed daemon leaves."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # handed on as it came


class Receiver:
    """Listens on loopback from construction to `close`. `requests` grows as they come; so does the file `log`."""

    def __init__(self, folder: Path) -> None:
        self.secret = secrets.token_bytes(32)
        self.secret_file = folder / "webhook-secret"
        self.secret_file.touch(mode=0o600)
        self.secret_file.write_text("whsec_" + base64.b64encode(self.secret).decode())
        self.requests: list[Request] = []
        self.played: Counter[str] = Counter()
        self.followed = 0
        self.most_sent = 0
        self.manners: Manners = lambda _id, _attempt: "ok"
        self.slowness = 3.0
        self._log = (folder / "requests.jsonl").open("ab")
        self._lock = threading.Lock()
        self._attempts: Counter[str] = Counter()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def close(self) -> None:
        """No request is taken any more."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            self._log.close()

    def accepted(self) -> list[Request]:
        """Those that were answered with 2xx so far."""
        return [one for one in list(self.requests) if one.accepted]

    def keep(self, one: Request) -> None:
        """On disk and in the list; before the answer goes out, as a careful receiver does."""
        with self._lock:
            if not self._log.closed:
                self._log.write(as_line(one))
                self._log.flush()
                self.requests.append(one)

    def next_manner(self, name: str) -> str:
        with self._lock:
            self._attempts[name] += 1
            manner = self.manners(name, self._attempts[name])
            self.played[manner] += 1
            return manner

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver.take(self)

            def do_GET(self) -> None:
                receiver.followed += 1
                self.send_error(404)

            def log_message(self, *_: object) -> None:
                """Said to nobody."""

        return Handler

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        """One request from its head to its answer."""
        at = time.time()
        body = handler.rfile.read(min(int(handler.headers.get("content-length", "0")), _LARGEST))
        if handler.path != "/webhooks":
            self.followed += 1
            handler.send_error(404)
            return
        manner = self.next_manner(handler.headers.get("webhook-id", ""))
        answers = {"ok": 204, "cut": 0, "fail": 500, "slow": 0, "redirect": 307, "huge": 200, "later": 429, "gone": 410}
        status = answers[manner]
        self.keep(request(at, dict(handler.headers.items()), body, status))
        if manner == "slow":
            self._closing.wait(self.slowness)
        if status == 0:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        handler.send_response(status)
        if manner == "redirect":
            handler.send_header("Location", "/elsewhere")
        if manner == "later":
            handler.send_header("Retry-After", formatdate(time.time() + 1, usegmt=True))
        handler.send_header("Content-Length", str(HUGE if manner == "huge" else 0))
        handler.end_headers()
        if manner == "huge":
            self._pour(handler)

    def _pour(self, handler: BaseHTTPRequestHandler) -> None:
        sent = 0
        handler.close_connection = True
        try:
            while sent < HUGE and not self._closing.is_set():
                sent += handler.connection.send(b"x" * 65_536)
        except OSError:
            pass
        self.most_sent = max(self.most_sent, sent)
