"""What a container states about itself, for the decoder's counts to be held against."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Structure:
    """A container that is whole as far as its own bookkeeping goes.

    stated   whether it states its length, so that a cut at a convenient place could not have passed
    ended    whether its end is marked, in a format that does so
    samples  how many samples of each channel there must be; None when it does not say
    packets  how many packets the decoder must be given; None when it does not say
    """

    stated: bool
    ended: bool = True
    samples: int | None = None
    packets: int | None = None
