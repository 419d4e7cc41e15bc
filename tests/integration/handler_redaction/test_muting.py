"""A muted copy: digital silence in the spans, the same samples outside of them, the same length; and a proof that can fail."""

import importlib.util
import os
import subprocess
import sys
import wave
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from genesys_sync_handlers import _muting
from genesys_sync_handlers._report import Fault


def _conftest() -> ModuleType:
    spec = importlib.util.spec_from_file_location("handler_redaction_sounds", Path(__file__).parent / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sounds = _conftest()
SPANS = [(1.0, 2.25, 0), (3.0, 3.5, 1), (5.0, 5.1, -1), (7.9, 99.0, -1)]
SILENT = {"pcm8": 128, "alaw": 8}
"""A-law has no code for zero: its silence is the smallest level there is."""


def expected_mask(frames: int, channels: int, rate: int) -> np.ndarray:
    mask = np.zeros((frames, channels), dtype=bool)
    for start, end, channel in SPANS:
        rows = slice(round(start * rate), min(frames, round(end * rate)))
        mask[rows, channel if 0 <= channel < channels else slice(None)] = True
    return mask


@pytest.mark.parametrize("name", sounds.FORMATS)
def test_the_spans_are_silent_and_nothing_else_is_changed(name: str, muted: object, tmp_path: Path) -> None:
    report = muted(sounds.encoded(name), SPANS)
    assert report.fault is None, report.detail
    before, after = sounds.heard(tmp_path / "original"), sounds.heard(tmp_path / "copy")
    _, codec, rate, channels = sounds.FORMATS[name]
    assert after.shape == before.shape
    mask = expected_mask(len(before), channels, rate)
    assert (after[mask] == SILENT.get(name, 0)).all()
    if before.dtype != after.dtype:  # Opus and MP3 decode to floating point: the copy has what 16 bits hold of it
        before = np.clip(np.rint(before * 32768.0), -32768, 32767).astype(np.int16)
    assert np.abs(after[~mask].astype(np.float64) - before[~mask]).max() <= (1 if codec.startswith("lib") else 0)
    assert report.silenced == mask.sum()
    assert report.frames == len(before)
    assert report.ending == ("wav" if codec.startswith("pcm") else "flac")


@pytest.mark.parametrize("name", ["pcm", "ulaw", "opus"])
def test_a_beep_is_heard_where_it_was_asked_for(name: str, muted: object, tmp_path: Path) -> None:
    assert muted(sounds.encoded(name), SPANS, filling="beep").fault is None
    rate = sounds.FORMATS[name][2]
    tone = sounds.heard(tmp_path / "copy")[rate : 2 * rate, 0].astype(float)
    spectrum = np.abs(np.fft.rfft(tone))
    assert spectrum.argmax() == 1000
    assert spectrum[1000] ** 2 > 0.99 * (spectrum**2).sum()
    assert 3000 < tone.max() < 3500


def test_a_wav_keeps_every_other_byte_its_header_and_what_follows(muted: object, tmp_path: Path) -> None:
    data = sounds.encoded("pcm")
    extra = b"LIST\x04\x00\x00\x00abcd"
    grown = bytearray(data + extra)
    grown[4:8] = (len(grown) - 8).to_bytes(4, "little")
    assert muted(bytes(grown), [(1.0, 2.0, 1)]).fault is None
    copy = (tmp_path / "copy").read_bytes()
    changed = [at for at, (old, new) in enumerate(zip(grown, copy, strict=True)) if old != new]
    start = data.index(b"data") + 8
    assert start + 4 * 8000 <= min(changed) <= max(changed) < start + 4 * 16000
    assert {(at - start) % 4 for at in changed} == {2, 3}
    with wave.open(str(tmp_path / "copy")) as opened:
        assert opened.getparams()[:4] == (2, 2, 8000, 64000)


def test_no_spans_give_a_copy_that_is_the_original(muted: object, tmp_path: Path) -> None:
    data = sounds.encoded("ulaw")
    report = muted(data, [])
    assert report.silenced == 0
    assert (tmp_path / "copy").read_bytes() == data


def test_a_file_that_is_not_the_archived_one_is_refused(muted: object, tmp_path: Path) -> None:
    assert muted(sounds.encoded("pcm"), SPANS, sha256="0" * 64).fault is Fault.MEDIA_ALTERED
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("data", [b"", b"<html>", b"RIFF\x00\x00\x00\x00WAVEfmt ", os.urandom(5000)])
def test_what_is_no_recording_is_a_fault_and_no_traceback(muted: object, data: bytes) -> None:
    assert muted(data, SPANS).fault is not None


@pytest.mark.parametrize("name", ["pcm", "opus"])
def test_the_proof_notices_a_sample_too_much_and_a_sample_too_little(name: str, muted: object, monkeypatch: pytest.MonkeyPatch) -> None:
    fill = _muting._fill

    def spill(cells: np.ndarray, mask: np.ndarray, filling: np.ndarray) -> None:
        fill(cells, mask, filling)
        cells[0, 0, 0] ^= 1

    monkeypatch.setattr(_muting, "_fill", spill)
    report = muted(sounds.encoded(name), [(1.0, 2.0, 0)])
    assert report.fault is Fault.MEDIA_ALTERED
    assert "outside of the spans" in report.detail

    monkeypatch.setattr(_muting, "_fill", lambda *_: None)
    report = muted(sounds.encoded(name), [(1.0, 2.0, 0)])
    assert report.fault is Fault.MEDIA_ALTERED
    assert "within a span" in report.detail


@pytest.mark.slow
@pytest.mark.timeout(300)  # to encode an hour of Opus takes longer than to mute it
@pytest.mark.parametrize("name", ["pcm", "opus"])
def test_an_hour_of_stereo_takes_under_a_minute_and_200_mib(name: str, tmp_path: Path) -> None:
    """Measured in a process of its own, encoding apart."""
    original = tmp_path / "hour"
    original.write_bytes(sounds.encoded(name, 3600.0))
    script = """
import hashlib, sys, time
from pathlib import Path
from genesys_sync_handlers._mute_job import MuteJob
from genesys_sync_handlers._muting import mute
path = Path(sys.argv[1])
with path.open("rb") as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
spans = [(float(at), at + 1.5, at % 2) for at in range(0, 3600, 20)]
began = time.monotonic()
copy = sys.argv[1] + ".copy"
job = MuteJob(path=str(path), sha256=digest, content_type="", output=copy, stretches=spans, filling="silence", cpu_seconds=600)
report = mute(job)
took = time.monotonic() - began
peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(report.fault, took, int(peak) / 1024)
"""
    told = subprocess.run([sys.executable, "-c", script, str(original)], capture_output=True, text=True, check=True).stdout.split()
    print(f"an hour of stereo {name}: {float(told[1]):.1f} s, {float(told[2]):.0f} MiB")  # noqa: T201 - the figure
    assert told[0] == "None"
    assert float(told[1]) < 60
    assert float(told[2]) < 200
