"""The harness's own parser, receiver and proxy; and that it is a black box: it imports nothing of what it judges."""

from __future__ import annotations

import ast
import hashlib
import http.client
import json
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.harness import formats
from tests.harness.__main__ import main
from tests.harness.bench import Bench
from tests.harness.checker import Finding, Verdict
from tests.harness.faults.rows import Played, Row
from tests.harness.proxy import Proxy, Toxic
from tests.harness.receiver import Receiver
from tests.harness.table import ROWS

HARNESS = Path(formats.__file__).parent
RECORDING, CONVERSATION = "0a0a0a0a-0000-4000-8000-000000000001", "0b0b0b0b-0000-4000-8000-000000000001"
DAY = f"recordings/2026/09/21/{CONVERSATION}"
BODY = bytes(range(256)) * 40


def test_it_uses_the_standard_library_alone() -> None:
    for path in HARNESS.rglob("*.py"):
        if "mutants" in path.parts:
            continue  # these run inside the daemon
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] in sys.stdlib_module_names, f"{path.name} imports {name}"


def test_the_archive_is_read_as_documented(tmp_path: Path) -> None:
    def put(key: str, data: bytes) -> None:
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    sidecar = {
        "recordingId": RECORDING,
        "conversationId": CONVERSATION,
        "parts": [{"key": f"{DAY}/{RECORDING}.wav", "sha256": "aa", "bytes": 3}],
    }
    put(f"{DAY}/{RECORDING}.wav", b"abc")
    put(f"{DAY}/{RECORDING}.part2.media.json", b"{}")
    put(f"{DAY}/{RECORDING}.json", json.dumps(sidecar).encode())
    put(f"quarantine/{DAY}/{RECORDING}.r2.wav", b"abd")
    put(f"quarantine/{DAY}/{RECORDING}.r2.json", json.dumps(sidecar | {"rejected": {"reason": "TRUNCATED"}}).encode())
    put(".incoming/1234", b"half")
    put(f"{DAY}/notes.txt", b"?")
    put(f"{DAY}/{RECORDING}.r1.wav", b"in the wrong place")
    put(f"recordings/2026/09/22/{CONVERSATION}/{RECORDING}.json", b"{torn")
    archive = formats.read_archive(tmp_path)
    assert {file.key: (file.sha256, file.size) for file in archive.media} == {
        f"{DAY}/{RECORDING}.wav": (hashlib.sha256(b"abc").hexdigest(), 3),
        f"{DAY}/{RECORDING}.part2.media.json": (hashlib.sha256(b"{}").hexdigest(), 2),
    }
    assert [one.parts for one in archive.sidecars] == [{f"{DAY}/{RECORDING}.wav": ("aa", 3)}]
    assert [(one.rejected, one.revision) for one in archive.withheld] == [("TRUNCATED", 2)]
    assert [file.revision for file in archive.withheld_media] == [2]
    assert archive.unfinished == (".incoming/1234",)
    assert len(archive.strays) == 3


def test_a_torn_truth_line_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "truth.jsonl").write_text('{"type":"fault","kind":"x"}\n{"type":"fault","ki')
    assert len(formats.read_truth(tmp_path / "truth.jsonl", "fault")) == 1


def sealed(*entries: dict[str, object]) -> bytes:
    root, lines = bytes(32), b""
    for number, entry in enumerate(entries, 1):
        text = json.dumps(entry | {"seq": number}).encode()
        root = hashlib.sha256(b"\0" + text + root).digest()
        lines += b'{"hash":"' + root.hex().encode() + b'","entry":' + text + b"}\n"
    return lines


def gap(action: str, cause: str) -> dict[str, object]:
    return {"action": action, "target": "1000-2500", "facts": {"fromMs": 1000, "toMs": 2500, "cause": cause}}


def test_the_audit_trail_is_read_and_walked(tmp_path: Path) -> None:
    archived = {"action": "recording.archive", "target": RECORDING, "facts": {}}
    whole = sealed(gap("gap.open", "closed"), gap("gap.open", "restart"), archived, gap("gap.close", "closed"))
    day = tmp_path / "2026-09-21.jsonl"
    day.write_bytes(whole)
    trail = formats.read_trail(tmp_path)
    assert (trail.entries, trail.broken) == (4, "")
    assert ("recording.archive", RECORDING) in trail.done
    assert [(one.begun, one.ended, one.cause, one.closed) for one in trail.gaps] == [
        (1.0, 2.5, "closed", True),
        (1.0, 2.5, "restart", False),
    ]
    lines = whole.splitlines(keepends=True)
    for tampered in (whole.replace(b"2500", b"2501"), lines[0] + b"".join(lines[2:]), lines[1] + lines[0] + b"".join(lines[2:])):
        day.write_bytes(tampered)
        assert formats.read_trail(tmp_path).broken


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    one = Receiver(tmp_path)
    yield one
    one.close()


def post(url: str, name: str, body: bytes = b'{"type":"t","data":{}}') -> int:
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=5)
    try:
        connection.request("POST", f"/{path}", body, {"webhook-id": name})
        return connection.getresponse().status
    except (http.client.HTTPException, OSError):
        return 0
    finally:
        connection.close()


def test_the_receiver_answers_as_told_and_keeps_everything(receiver: Receiver, tmp_path: Path) -> None:
    tricks = iter(["ok", "cut", "fail", "redirect", "later", "gone"])
    receiver.manners = lambda _name, _attempt: next(tricks)
    assert [post(receiver.url, str(number)) for number in range(6)] == [204, 0, 500, 307, 429, 410]
    assert [one.answered for one in formats.read_requests(tmp_path / "requests.jsonl")] == [204, 0, 500, 307, 429, 410]
    assert [one.id for one in receiver.accepted()] == ["0"]


@pytest.fixture
def platform() -> Iterator[int]:
    """Answers every GET with the same body, and names its own address in another."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = BODY if self.path.startswith("/media/") else f"ws://127.0.0.1:{server.server_port}/channels/x".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Said to nobody."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def proxy(platform: int) -> Iterator[Proxy]:
    one = Proxy(platform)
    yield one
    one.close()


def fetch(proxy: Proxy, path: str) -> tuple[bytes, bool]:
    """What came, and whether it ended as announced."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    try:
        return answer.read(), True
    except http.client.IncompleteRead as cut:
        return cut.partial, False
    except ConnectionResetError:
        return b"", False
    finally:
        connection.close()


def test_the_platform_s_address_becomes_the_proxy_s(proxy: Proxy) -> None:
    assert fetch(proxy, "/api") == (f"ws://127.0.0.1:{proxy.port}/channels/x".encode(), True)
    assert fetch(proxy, "/media/clean") == (BODY, True)


def test_toxics_bite_where_they_should(proxy: Proxy) -> None:
    proxy.media = lambda path: Toxic(path.removeprefix("/media/"))
    flipped, _ = fetch(proxy, "/media/flip")
    assert len(flipped) == len(BODY)
    assert sum((one ^ other).bit_count() for one, other in zip(flipped, BODY, strict=True)) == 1
    assert fetch(proxy, "/media/cut") == (BODY[: int(len(BODY) * 0.7)], False)
    assert fetch(proxy, "/media/unbounded") == (BODY[: int(len(BODY) * 0.7)], True)
    assert fetch(proxy, "/media/reset")[1] is False
    assert proxy.seen["flip"] == proxy.seen["cut"] == proxy.seen["unbounded"] == proxy.seen["reset"] == 1


def cut_off(link: socket.socket) -> bool:
    try:
        return link.recv(1) == b""
    except ConnectionResetError:
        return True


def test_an_outage_refuses_and_ends(proxy: Proxy) -> None:
    proxy.down()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as link:
        assert cut_off(link)
    proxy.up()
    assert fetch(proxy, "/api")[1]


def run_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *rows: Row) -> int:
    monkeypatch.setattr("tests.harness.__main__.ROWS", rows)
    return main(["--folder", str(tmp_path / "evidence"), "--jobs", "1"])


def passed(_: Bench) -> Played:
    return Played("something", "well", Finding())


def missed(_: Bench) -> Played:
    return Played("something", "nothing happened", Finding(), bit=False)


def broke(_: Bench) -> Played:
    raise ZeroDivisionError


def test_the_exit_code_is_that_of_the_worst_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, tmp_path, Row("A", "a", passed), Row("S", "s", passed, lambda: "no root here")) == 0
    assert "no root here" in capsys.readouterr().out
    assert run_with(monkeypatch, tmp_path, Row("A", "a", passed), Row("B", "b", missed)) == 1
    assert Verdict.UNKNOWN in capsys.readouterr().out
    assert run_with(monkeypatch, tmp_path, Row("C", "c", broke)) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_an_unknown_row_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "F99"]) == 64
    assert "F99" in capsys.readouterr().err


def test_every_row_is_documented() -> None:
    text = (HARNESS.parents[1] / "docs" / "howto" / "acceptance.md").read_text()
    assert [row.name for row in ROWS if f"| {row.name} |" not in text] == []
