"""The media are real: PyAV decodes every one to the stated length and channels, and faults spoil them as they say."""

import hashlib
import io
from dataclasses import replace

import av
import numpy as np
import pytest

from genesys_sync_simulator import audio
from genesys_sync_simulator.huge import HugeWav
from genesys_sync_simulator.media import MediaStore
from genesys_sync_simulator.plan import RecordingPlan, make
from genesys_sync_simulator.scenario import FORMATS
from genesys_sync_simulator.scenario_file import load, read

CODECS = {
    "WAV": ("wav", "pcm_s16le", 8000),
    "WAV_ULAW": ("wav", "pcm_mulaw", 8000),
    "OGG_OPUS": ("ogg", "opus", 48_000),
    "OGG_VORBIS": ("ogg", "vorbis", 8000),
    "WEBM": ("matroska,webm", "opus", 48_000),
    "MP3": ("mp3", "mp3float", 8000),
}


def recording(**changes: object) -> RecordingPlan:
    return replace(make(read({"calls": {"count": 1}})).recordings[0], began=0.0, ended=2.345, **changes)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_decodes_to_the_stated_length_and_channels(kind: str, channels: int) -> None:
    data = audio.encode(audio.call_sound(7, 2.345, channels), kind)
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.audio[0]
        found = (container.format.name, stream.codec_context.name, stream.rate)
        assert container.duration / 1e6 == pytest.approx(2.345, abs=0.02), "the container states its length"
        samples = [frame.to_ndarray() for frame in container.decode(stream)]
        assert stream.channels == channels
    assert found == CODECS[kind]
    count = sum(array.shape[1] // (channels if array.shape[0] == 1 else 1) for array in samples)
    assert count / found[2] == pytest.approx(2.345, abs=0.001)


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_decoded_is_what_was_said(kind: str) -> None:
    """Loudness over time agrees with the original on each channel, so neither sound nor channels are mixed up."""
    sound = audio.call_sound(7, 2.0, 2)
    decoded, rate = audio.decode(audio.encode(sound, kind))

    def loudness(samples: np.ndarray, per_second: int) -> np.ndarray:
        step = per_second // 20
        usable = samples[: len(samples) // step * step].astype(float)
        return np.sqrt((usable.reshape(-1, step, 2) ** 2).mean(axis=1))

    before, after = loudness(sound, audio.RATE), loudness(decoded, rate)
    length = min(len(before), len(after))
    for channel in (0, 1):
        assert np.corrcoef(before[:length, channel], after[:length, channel])[0, 1] > 0.9
    assert np.corrcoef(before[:length, 0], after[:length, 1])[0, 1] < 0.5


def test_no_sample_of_a_call_is_digital_silence() -> None:
    assert np.all(audio.call_sound(1, 3.0, 2) != 0)
    assert not audio.silence(1.0, 1).any()


def test_a_transcode_keeps_the_length() -> None:
    wav = audio.encode(audio.call_sound(3, 2.0, 1), "WAV")
    for kind in FORMATS:
        decoded, rate = audio.decode(audio.transcode(wav, kind))
        assert len(decoded) / rate == pytest.approx(2.0, abs=0.005)
    opus, rate = audio.decode(audio.transcode(audio.encode(audio.call_sound(3, 2.0, 2), "WEBM"), "MP3"))
    assert opus.shape[1] == 2
    assert len(opus) / rate == pytest.approx(2.0, abs=0.03)


def test_a_hundred_recordings_are_all_different() -> None:
    store = MediaStore()
    plan = make(load("hundred"))
    assert len({store.get(one).sha256() for one in plan.recordings}) == 100


def test_an_object_made_anew_is_the_same_byte_for_byte() -> None:
    small = MediaStore(room=1)
    for kind in FORMATS:
        one = recording(format=kind, channels=2)
        first = small.get(one)
        small.get(recording(format="MP3", clip_seed=99))  # pushes the first one out
        assert small.get(one).source == first.source


def test_faults_spoil_what_is_served() -> None:
    store = MediaStore()
    good = store.get(recording(format="WAV", id="a"))
    page = store.get(recording(format="WAV", id="b", fault="error_page"))
    assert isinstance(page.source, bytes)
    assert page.source.startswith(b"<!DOCTYPE html>")
    assert page.content_type == "audio/wav"
    assert store.get(recording(id="c", format="WAV", fault="header_only")).size == 44
    cut = store.get(recording(id="d", format="WAV", fault="truncated"))
    assert isinstance(good.source, bytes)
    assert cut.source == good.source[: good.size * 6 // 10]
    silent = store.get(recording(id="e", format="WAV", fault="silent"))
    assert isinstance(silent.source, bytes)
    assert not audio.decode(silent.source)[0].any()


def test_a_recording_in_two_parts_is_the_whole_cut_in_two() -> None:
    store = MediaStore()
    parts = [store.get(recording(format="WAV", parts=2), part) for part in (0, 1)]
    assert sum(part.seconds for part in parts) == pytest.approx(2.345, abs=0.001)
    assert parts[0].etag != parts[1].etag


def test_a_huge_file_is_the_same_from_every_offset() -> None:
    huge = HugeWav(5, 30_000_001, channels=2, sample_rate=48_000)
    whole = b"".join(bytes(piece) for piece in huge.pieces(0, huge.size))
    assert len(whole) == huge.size == 30_000_000
    assert hashlib.sha256(whole).hexdigest() == huge.sha256()
    for start, stop in [(0, 44), (10, 60), (44, 45), (4_000_000, 4_300_000), (29_999_000, 30_000_000), (8_000_024, 8_000_068)]:
        assert b"".join(bytes(piece) for piece in huge.pieces(start, stop)) == whole[start:stop]
    decoded, rate = audio.decode(whole)
    assert (decoded.shape, rate) == ((7_499_989, 2), 48_000)
