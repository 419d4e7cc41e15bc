"""An agent's screen as the platform records it: moving pictures without sound. The same seed gives the same bytes."""

from __future__ import annotations

import io
from typing import Any, Final

import av
import numpy as np
from av.codec.context import Flags

_RATE: Final = 2
"""Pictures a second; a screen moves little."""
_HEIGHT, _WIDTH = 48, 64


def pictures(seed: int, seconds: float) -> bytes:
    """A whole WebM file (VP8) of that length, at least one picture long."""
    chance = np.random.default_rng(seed)
    picture = chance.integers(0, 256, (_HEIGHT, _WIDTH, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm", options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream("libvpx", rate=_RATE, options={"deadline": "realtime", "cpu-used": "8"})
        stream.codec_context.flags |= Flags.bitexact
        stream.codec_context.thread_count = 1
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        for number in range(max(1, round(seconds * _RATE))):
            picture[(number * 3) % _HEIGHT] = chance.integers(0, 256, (_WIDTH, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()
