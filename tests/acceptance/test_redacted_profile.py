"""The settings of docs/howto/redacted-profile.md, run as they stand: nothing that was told is found in anything that they leave behind."""

from __future__ import annotations

import json
import math
import re
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.acceptance.spoken import Search
from tests.harness.receiver import Receiver

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs/howto/redacted-profile.md"
SPEECH = PROJECT / "simulator/genesys_sync_simulator/scenarios/speech.toml"
SHORT = {
    "count": "8",
    "duration": '["20s", "21s"]',
    "head_start": '"19500ms"',
    "available_after": '"500ms"',
    "batch_job_time": '"100ms"',
    "ready_after": '"100ms"',
    "late": "0.25",
    "late_after": '["1s", "2s"]',
    "never": "0.25",
    "card": "0.9",
}
DIGITAL: dict[str, object] = {"chats": 2, "messages": 2, "emails": 2, "screens": 1, "duration": ["1s", "2s"]}
MASKS = ("[CARD]", "[SSN]", "[PHONE]", "[EMAIL]", "[IBAN]", "[DATE_OF_BIRTH]", "[NUMBER]")
FASTER = (
    "handlers.discover.config.ladder=['1s', '2s']",
    "handlers.discover.config.confirm_after=2s",
    "handlers.transcript.config.ladder=['500ms', '1s', '2s', '3s']",
    "handlers.transcript.config.confirm_after=2s",
    "handlers.transcript.config.shortest=6s",
    "handlers.mute.config.ladder=['500ms']",
    "genesys.batch_gather=100ms",
    "genesys.batch_poll=200ms",
    "handlers.tell-nlp.config.batch_within=500ms",
    "handlers.tell-nlp.config.batch=20",
    "handlers.tell-nlp.schedule=['300ms']",
    "http.allow_private=['127.0.0.0/8']",
    "log.level=debug",
    "log.format=json",
)
MARGIN = 0.15
ASIDES = {
    "uh",
    "um",
    "so",
    "let",
    "me",
    "see",
    "hold",
    "on",
    "eh",
    "este",
    "a",
    "ver",
    "un",
    "momento",
    "äh",
    "also",
    "moment",
    "ähm",
    "euh",
}
ASIDES |= {"alors", "voyons", "attendez"}
"""Said between the digits, and nobody's data."""
UNKNOWABLE = {"language": "never_appeared"}
"""What the simulator's platform tells nobody."""
Call = Callable[..., Any]


def scenario(digital: dict[str, object], **changed: str) -> str:
    text = SPEECH.read_text()
    for key, value in changed.items():
        text, count = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
        assert count == 1, key
    return f"{text}\n[digital]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in digital.items())


@pytest.fixture
def receivers(tmp_path: Path) -> Iterator[dict[str, Receiver]]:
    """Two systems that are told; the first answers its first request with an error."""
    with ExitStack() as stack:
        made = {}
        for name in ("nlp", "documents"):
            folder = tmp_path / f"receiver-{name}"
            folder.mkdir()
            made[name] = Receiver(folder)
            stack.callback(made[name].close)
        made["nlp"].manners = lambda _id, _attempt: "ok" if made["nlp"].requests else "fail"
        yield made


class Profile:
    """One run, from the page's settings to all that it left behind."""

    def __init__(self, platform: Any, here: Any, receivers: dict[str, Receiver], *, give_up: float, port: int) -> None:
        sample = re.search(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
        assert sample is not None
        here.settings = here.folder / "settings.toml"
        here.settings.write_text(sample[1])
        told = [
            f"handlers.tell-{name}.config.{key}={value}"
            for name, receiver in receivers.items()
            for key, value in {"url": receiver.url, "secret_files": f"['{receiver.secret_file}']", "allow_http": "true"}.items()
        ]
        waits = (f"handlers.transcript.config.give_up={give_up}s", f"handlers.mute.config.give_up={give_up + 2}s")
        here.overrides += (*FASTER, *waits, *told, f'health.listen="127.0.0.1:{port}"')
        self.platform, self.here, self.receivers = platform, here, receivers
        self.address = f"http://127.0.0.1:{port}"
        self.printed: list[bytes] = []
        self.pages: set[str] = set()

    def scrape(self) -> None:
        for page in ("metrics", "readyz", "livez", "console", "console.json"):
            try:
                with urllib.request.urlopen(f"{self.address}/{page}", timeout=10) as answer:
                    self.printed.append(answer.read())
            except urllib.error.HTTPError as refused:
                assert page == "readyz", page  # it says in the same way that it is not
                with refused:
                    self.printed.append(refused.read())
            except urllib.error.URLError:
                return  # it has just been started again, and does not listen yet
            self.pages.add(page)

    def call(self, *words: str) -> str:
        done = self.here.call(*words)
        self.printed.append((done.stdout + done.stderr).encode())
        assert done.returncode in (0, 1), done.stdout + done.stderr  # 1: not complete yet, because analytics may still lag behind
        return str(done.stdout)

    def play(self, wait: Call, *, kill: bool) -> None:
        self.here.start()
        if kill:
            wait(lambda: self.here.events("transcript.redacted") >= 5, what="the first transcripts, redacted")
            self.here.kill()
            self.here.start()
        wait(self.settled, seconds=100, what="the end of all work")

    def settled(self) -> bool:
        assert self.here.process.poll() is None, self.here.log[-2000:]
        state = self.platform.page("state")
        status = self.here.call("status", "--json")
        if not state.get("finished") or status.returncode != 0:
            return False
        self.printed.append(status.stdout.encode())
        self.scrape()
        told = json.loads(status.stdout)
        open_work = sum(counts.get(name, 0) for counts in told["deliveries"].values() for name in ("ready", "leased"))
        ended = told["events"].get("conversation.ended", 0)
        return bool(open_work == 0 and ended >= state["callsEnded"])

    def ask_everything(self, *, briefly: bool) -> dict[str, Any]:
        """What the commands say afterwards, as a person and as a program reads it; the report."""
        planted = self.platform.truth("planted")
        conversation = planted[0]["conversationId"]
        typed = next(one["conversationId"] for one in planted if one["media"] == "email")
        window = ("report", "--from", "1h", "--to", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1)))
        report = self.call(*window, "--json")
        self.call("find", conversation, "--json")
        self.call("find", typed)
        if not briefly:
            for words in (window, (*window, "--csv"), ("status",), ("dead-letters", "list", "--json"), ("find", conversation)):
                self.call(*words)
        found: dict[str, Any] = json.loads(report)
        return found


class Platform:
    """What the platform itself has: the files that nobody has touched."""

    def __init__(self, said: dict[str, str]) -> None:
        self._url = said["apiUrl"]
        form = {"grant_type": "client_credentials", "client_id": said["clientId"], "client_secret": said["clientSecret"]}
        request = urllib.request.Request(said["loginUrl"] + "/oauth/token", urllib.parse.urlencode(form).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            self._token = json.loads(answer.read())["access_token"]

    def transcript(self, line: dict[str, Any]) -> bytes:
        path = f"speechandtextanalytics/conversations/{line['conversationId']}/communications/{line['communicationId']}/transcripturl"
        return self._fetched(self._asked(path)["url"])

    def recording(self, line: dict[str, Any]) -> bytes:
        path = f"conversations/{line['conversationId']}/recordings/{line['recordingId']}?formatId={line['format']}"
        while "mediaUris" not in (told := self._asked(path)):
            time.sleep(0.05)
        return self._fetched(told["mediaUris"]["0"]["mediaUri"])

    def written(self, line: dict[str, Any]) -> bytes:
        """The body of the single recording, as it comes."""
        return self._get(f"conversations/{line['conversationId']}/recordings/{line['recordingId']}?formatId=NONE")

    def _asked(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._get(path) or b"{}")
        return found

    def _get(self, path: str) -> bytes:
        request = urllib.request.Request(f"{self._url}/api/v2/{path}", headers={"Authorization": f"Bearer {self._token}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())

    @staticmethod
    def _fetched(url: str) -> bytes:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bytes(answer.read())


def heard(path: Path) -> tuple[np.ndarray[Any, Any], int]:
    """Every sample, shape (frames, channels), and how many there are in a second."""
    with av.open(str(path)) as file:
        rate = file.streams.audio[0].rate
        frames = [frame.to_ndarray().reshape(-1, len(frame.layout.channels)) for frame in file.decode(audio=0)]
    return np.concatenate(frames), rate


def rows(start: float, end: float, rate: int) -> slice:
    return slice(max(0, math.floor(start * rate)), math.ceil(end * rate))


def assert_muted(copy: Path, original: Path, spans: Path, words: list[dict[str, Any]]) -> int:
    """Every word's moment is silent, what is in no span is as it was. How many words there were."""
    after, rate = heard(copy)
    before, _ = heard(original)
    assert after.shape == before.shape
    for word in words:
        assert before[rows(word["start"], word["end"], rate), 0].any(), "there was something to be heard"
        assert not after[rows(word["start"], word["end"], rate), 0].any(), f"{copy.name}: heard at {word['start']} s"
    allowed = np.zeros(before.shape, dtype=bool)
    for start, end, channel in (span for told in json.loads(spans.read_bytes())["transcripts"].values() for span in told):
        allowed[rows(start - MARGIN, end + MARGIN, rate), slice(None) if channel < 0 else channel] = True
    assert np.array_equal(after[~allowed], before[~allowed])
    return len(words)


def check(profile: Profile, tmp_path: Path, *, briefly: bool) -> None:
    """Every promise of the page, held against what the run left behind."""
    truth = profile.platform.truth
    planted, transcripts = truth("planted"), truth("transcript")
    report = profile.ask_everything(briefly=briefly)
    assert profile.here.stop() == 0
    verified = profile.here.call("verify")
    assert verified.returncode == 0, verified.stdout

    assert profile.pages >= {"metrics", "console", "console.json"}
    search = Search(planted)
    kinds = Counter(one["kind"] for one in planted)
    assert kinds["card"] >= len(transcripts) / 4, kinds
    not_ours = {tmp_path / "truth.jsonl", tmp_path / "simulator.log", tmp_path / "scenario.toml"}
    assert search.found_below(tmp_path, but=not_ours) == {}
    for receiver in profile.receivers.values():
        for request in receiver.requests:
            assert not search.found(request.body)
            assert not search.found(json.dumps(dict(request.headers)).encode())
    for printed in profile.printed:
        assert not search.found(printed)
    assert_told(profile, report, transcripts)

    platform = Platform(profile.platform.said)
    told_of = {line["communicationId"]: line for line in transcripts if line["outcome"] != "never"}
    clear = {communication: platform.transcript(line) for communication, line in told_of.items()}
    in_clear = [one for one in planted if one["communicationId"] in clear]
    missed = [one["turns"] for one in in_clear if not Search([one]).found(clear[one["communicationId"]])]
    assert missed == [], "the control: the same search finds everything in the platform's own files"

    words, messages = 0, 0
    redacted = profile.here.archive / "redacted" / "recordings"
    for line in truth("recording"):
        copies = [path for path in redacted.rglob(line["recordingId"] + ".*") if path.suffix in (".wav", ".flac") or ".media" in path.name]
        if line["media"] == "screen":
            assert copies == []
        elif line["media"] != "audio":
            assert len(copies) == line["good"]
            messages += sum(assert_rewritten(copy, platform.written(line), planted) for copy in copies)
        else:
            (transcript,) = [one for one in transcripts if one["recordingId"] == line["recordingId"]]
            assert len(copies) == (transcript["outcome"] != "never"), transcript
            for copy in copies:
                original = tmp_path / ("original" + copy.suffix)
                original.write_bytes(platform.recording(line))
                told = [one["words"] for one in planted if one["recordingId"] == line["recordingId"]]
                said = [word for of_one in told for word in of_one if word["word"] not in ASIDES]
                (spans,) = copy.parent.glob(line["recordingId"] + ".*.spans.json")
                words += assert_muted(copy, original, spans, said)
    assert words > 10 * sum(one["media"] == "voice" for one in transcripts) / 4
    told = f"{words} words silent, {messages} messages rewritten, {len(in_clear)} of {len(planted)} values found by the control"
    print(f"{dict(Counter(one['media'] for one in transcripts))}, {dict(kinds)}, {told}")  # noqa: T201 - the figure


def assert_rewritten(copy: Path, body: bytes, planted: list[dict[str, Any]]) -> int:
    """The copy has every message with a text, and nobody's name or address; that the body had them is the control. How many messages."""
    shown, original = json.loads(copy.read_bytes()), json.loads(body)
    (key,) = {"transcript", "messagingTranscript", "emailTranscript"} & shown.keys()
    texts = [one.get("body") or one.get("messageText") or one.get("textBody") for one in shown[key]]
    had = [one.get("body") or one.get("messageText") or one.get("htmlBody") for one in original[key]]
    assert [bool(text) for text in texts] == [bool(text) for text in had]
    told = [one for one in planted if one["recordingId"] == original["id"]]
    assert [one["turns"] for one in told if not Search([one]).found(body.replace(b"<b>", b""))] == []
    assert bool(told) == any(mask in json.dumps(shown[key]) for mask in MASKS)
    known = {one["name"] for one in original["users"]} | {
        one["email"] for mail in original.get("emailTranscript", ()) for one in mail["to"]
    }
    assert not any(name.encode() in copy.read_bytes() for name in known)
    return len(texts)


def assert_told(profile: Profile, report: dict[str, Any], transcripts: list[dict[str, Any]]) -> None:
    """The report adds up, what has no transcript is put aside, and both receivers know of everything."""
    never = {line["communicationId"]: line for line in transcripts if line["outcome"] == "never"}
    unheard = sum(line["media"] == "voice" for line in never.values())
    purged = sum(line["reason"] == "purged" for line in never.values())
    recordings = Counter(line["media"] for line in profile.platform.truth("recording"))
    kept = len(transcripts) - unheard - sum(line["reason"] == "purged" and line["media"] != "voice" for line in never.values())
    counts = report["transcripts"]["counts"]
    assert (counts["archived"], counts["missing"]) == (len(transcripts) - len(never), len(never))
    assert sum(counts.values()) == len(transcripts)
    reasons = {item["communicationId"]: item["reason"] for item in report["transcripts"]["items"] if item["state"] == "missing"}
    assert reasons == {one: UNKNOWABLE.get(line["reason"], line["reason"]) for one, line in never.items()}
    states = Counter((item["state"], item["reason"]) for item in report["items"])
    withheld = states["rejected", "NO_TRANSCRIPT"]
    assert states["archived", None] + states["recovered", None] == kept, states
    assert withheld + sum(number for (state, _), number in states.items() if state == "dead") == recordings.total() - kept, states
    assert withheld >= unheard + recordings["screen"] - purged
    here = profile.here.archive
    left = [path.name for path in (here / "recordings").rglob("*") if path.is_file()]
    assert not [name for name in left if re.fullmatch(r"[0-9a-f-]{36}\.json", name) is None], "sidecars alone: no original is left"
    held = {path.name.partition(".")[0] for path in (here / "quarantine").rglob("*") if path.is_file() and path.suffix != ".json"}
    assert len(held) == withheld

    texts = [item for one in profile.receivers["nlp"].accepted() for item in json.loads(one.body)["data"]["items"]]
    assert {item["type"] for item in texts} == {"transcript.redacted"}
    assert {item["data"]["communicationId"] for item in texts} == {line["communicationId"] for line in transcripts} - set(never)
    assert all(item["data"]["content"]["segments"] for item in texts)
    assert any("[CARD]" in json.dumps(item["data"]["content"]) for item in texts)
    assert all(item["data"]["latency"]["fromCallEndSeconds"] >= 0 for item in texts)
    files = {one.id: json.loads(one.body) for one in profile.receivers["documents"].accepted()}
    told = Counter(body["type"] for body in files.values())
    assert (told["transcript.redacted"], told["media.redacted"]) == (len(transcripts) - len(never), kept)
    assert (told["transcript.missing"], told["media.rejected"]) == (len(never), withheld)
    for body in files.values():
        for file in body["data"]["files"]:
            assert (here / file["key"]).stat().st_size == file["bytes"]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_nothing_that_was_told_is_left(simulator: Call, daemon: Call, wait: Call, receivers: dict[str, Receiver], tmp_path: Path) -> None:
    platform = simulator(scenario(DIGITAL, **SHORT))
    profile = Profile(platform, daemon(platform), receivers, give_up=3, port=free_port())
    profile.play(wait, kill=False)
    check(profile, tmp_path, briefly=True)


@pytest.mark.slow  # a minute; the test above is the short form
@pytest.mark.timeout(300)
def test_of_eighty_two_conversations_nothing_that_was_told_is_left_after_a_kill(
    simulator: Call, daemon: Call, wait: Call, receivers: dict[str, Receiver], tmp_path: Path
) -> None:
    platform = simulator(scenario({**DIGITAL, "chats": 10, "messages": 10, "emails": 12, "screens": 5}))
    profile = Profile(platform, daemon(platform), receivers, give_up=12, port=free_port())
    profile.play(wait, kill=True)
    check(profile, tmp_path, briefly=False)
