"""How many requests may still be sent, by whom, and when the next one may. Pure: the time is given.

The platform counts requests of one token (or client) in windows of a minute and tells count, limit and the seconds until the
window ends with each answer. We keep to a share of the limit, count what we sent ourselves between answers, keep each lane's
reserve from the others, and stop together after a 429. When that pause is over one request goes ahead: should the platform
refuse it again, that costs one answer and not a burst of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from genesys_sync.genesys.lanes import Lane, reserve

WINDOW = 60.0
_ROUNDING = 1.0
"""The header counts whole seconds and may have dropped a part of one: the window may end this much later than it says."""
_SAME_WINDOW = WINDOW / 2
"""Two answers of one window may differ over its end by as long as they were on their way, those of two by a window."""


class Budget:
    """The rate budget of one token, shared by all work. Times are monotonic seconds."""

    def __init__(self, *, allowed: int, share: float) -> None:
        self._share = share
        self._allowed = allowed
        self._used = 0
        self._sent: Counter[Lane] = Counter()
        self._in_flight: Counter[Lane] = Counter()
        self._ends = 0.0
        self._told = False
        self._paused_until = 0.0
        self._refused_at = -math.inf
        self._doubtful = False

    @property
    def limit(self) -> int:
        """Requests that we allow ourselves in a window; at least one, or nothing would ever move."""
        return max(1, int(self._allowed * self._share))

    def most(self, lane: Lane) -> int:
        """Requests of this lane in a window in which it finds the others' reserves untouched; at least one."""
        return self.limit - sum(reserve(other, self.limit) for other in Lane if other is not lane)

    def remaining(self, now: float) -> int:
        """Requests of any lane that the window still has."""
        self._roll(now)
        return max(0, self.limit - self._used)

    def wait(self, now: float, lane: Lane) -> float:
        """Seconds until a request of this lane may be sent; 0 for now, infinity for: when one that is on its way has ended."""
        self._roll(now)
        pause = max(0.0, self._paused_until - now)
        if not self._room(lane):
            return max(pause, self._ends - now)
        return math.inf if not pause and self._doubtful and self._in_flight.total() else pause

    def sent(self, now: float, lane: Lane) -> None:
        """A request goes out now."""
        self._roll(now)
        self._used += 1
        self._sent[lane] += 1
        self._in_flight[lane] += 1

    def ended(self, lane: Lane) -> None:
        """A request that went out has ended, with an answer or without."""
        self._in_flight[lane] = max(0, self._in_flight[lane] - 1)

    def unheard(self, now: float, lane: Lane) -> None:
        """A request whose connection broke, called after `ended`: the platform has most likely not counted it. Where it has, its next
        answer says so. Counted, an outage would use up the window with requests that nobody received, and keep us away after it."""
        self._roll(now)
        self._used = max(0, self._used - 1)
        self._sent[lane] = max(0, self._sent[lane] - 1)

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
            self._begin(ends, used=count + self._in_flight.total())
        elif not self._told or ends > self._ends - _SAME_WINDOW:  # else an answer of the window before, long on its way
            # an end that we had only assumed gives way to the platform's
            self._used = max(self._used, count)
            self._ends = min(self._ends, ends) if self._told else ends
        self._told = True

    def served(self, now: float) -> None:
        """The platform acted on a request: after a pause, everybody may follow the one that went ahead."""
        if now >= self._paused_until:
            self._doubtful = False

    def refused(self, now: float, asked: float | None) -> bool:
        """A 429, after `learn`: nothing is sent for `asked` seconds, by anybody (None: to the end of the window), and not before the
        window ends where the platform's own count says that it is used up. A second one within a minute shows that the wait
        was too short, so it is a minute at least. A shorter pause never cuts a longer one.

        True when a pause begins; False when the request was on its way already as another's 429 came.
        """
        wait = asked if asked is not None else self.until_reset(now)
        if self._used >= self._allowed:
            wait = max(wait, self._ends - now)
        begins = now >= self._paused_until
        if begins:
            if now - self._refused_at < WINDOW:
                wait = max(wait, WINDOW)
            self._refused_at = now
        self._doubtful = True
        self._paused_until = max(self._paused_until, now + wait)
        return begins

    def pause(self, now: float) -> float:
        """Seconds that the pause after a 429 still lasts."""
        return max(0.0, self._paused_until - now)

    def until_reset(self, now: float) -> float:
        """Seconds until the window that we count ends; a whole one when none is known."""
        return self._ends - now if self._ends > now else WINDOW

    def _room(self, lane: Lane) -> bool:
        """What the window has left, without what the other lanes have not used of their reserves."""
        limit = self.limit
        kept = sum(max(0, reserve(other, limit) - self._sent[other]) for other in Lane if other is not lane)
        return self._used + kept < limit

    def _roll(self, now: float) -> None:
        if now >= self._ends:
            self._begin(now + WINDOW, used=self._in_flight.total())
            self._told = False

    def _begin(self, ends: float, *, used: int) -> None:
        self._ends = ends
        self._used = used
        self._sent = Counter(self._in_flight)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= 9 else None
