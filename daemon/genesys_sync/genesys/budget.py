"""How many requests may still be sent, and when the next one may. Pure: the time is given.

The platform counts requests of one token (or client) in windows of a minute and tells count, limit and the seconds until the
window ends with each answer. We keep to a share of the limit, count what we sent ourselves between answers, and stop together
after a 429.
"""

from __future__ import annotations

from collections.abc import Mapping

WINDOW = 60.0
_ROUNDING = 1.0
"""The header counts whole seconds and may have dropped a part of one: the window may end this much later than it says."""
_SAME_WINDOW = 1.5
"""Two answers of one window may differ by a second, and a little on the way, over its end."""


class Budget:
    """The rate budget of one token, shared by all work. Times are monotonic seconds."""

    def __init__(self, *, allowed: int, share: float) -> None:
        self._share = share
        self._allowed = allowed
        self._used = 0
        self._in_flight = 0
        self._ends = 0.0
        self._told = False
        self._paused_until = 0.0

    @property
    def limit(self) -> int:
        """Requests that we allow ourselves in a window; at least one, or nothing would ever move."""
        return max(1, int(self._allowed * self._share))

    def remaining(self, now: float) -> int:
        self._roll(now)
        return max(0, self.limit - self._used)

    def wait(self, now: float) -> float:
        """Seconds until a request may be sent; 0 for now."""
        self._roll(now)
        pause = max(0.0, self._paused_until - now)
        if self._used < self.limit:
            return pause
        return max(pause, self._ends - now)

    def sent(self, now: float) -> None:
        """A request goes out now."""
        self._roll(now)
        self._used += 1
        self._in_flight += 1

    def ended(self) -> None:
        """A request that went out has ended, with an answer or without."""
        self._in_flight = max(0, self._in_flight - 1)

    def learn(self, now: float, headers: Mapping[str, str]) -> None:
        """Take up what an answer's headers tell; called after `ended` for that answer. Nonsense is passed over."""
        allowed = _number(headers.get("inin-ratelimit-allowed"))
        count = _number(headers.get("inin-ratelimit-count"))
        reset = _number(headers.get("inin-ratelimit-reset"))
        if allowed:
            self._allowed = allowed
        if count is None or reset is None or reset > 10 * WINDOW:
            return
        self._roll(now)
        ends = now + reset + _ROUNDING
        if self._told and ends > self._ends + _SAME_WINDOW:
            # another window than the one we were counting: the platform's count, and what it has not yet counted
            self._used = count + self._in_flight
            self._ends = ends
        else:
            # an end that we had only assumed gives way to the platform's
            self._used = max(self._used, count)
            self._ends = min(self._ends, ends) if self._told else ends
        self._told = True

    def pause(self, now: float, seconds: float) -> None:
        """After a 429 nothing is sent for so long, by anybody. A shorter pause never cuts a longer one."""
        self._paused_until = max(self._paused_until, now + seconds)

    def until_reset(self, now: float) -> float:
        """Seconds until the window that we count ends; a whole one when none is known."""
        return self._ends - now if self._ends > now else WINDOW

    def _roll(self, now: float) -> None:
        if now >= self._ends:
            self._used = self._in_flight
            self._ends = now + WINDOW
            self._told = False


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= 9 else None
