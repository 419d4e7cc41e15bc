"""A stand-in for uploads: a store that takes everything at once, and a platform that reports what it was told to."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime

from anyio.lowlevel import checkpoint

from genesys_sync.services import Reported, Sent, UploadFile, UploadStatus


class FakeUploads:
    """`services.Uploads` over what was put in. `stored` holds every file that was sent, by key;
    `since` is when they are said to have been (so late that no time runs out, unless set)."""

    def __init__(self) -> None:
        self.stored: dict[str, UploadFile] = {}
        self.since = datetime.max.replace(tzinfo=UTC)
        self._begun: dict[str, UploadFile] = {}
        self._failures: deque[Exception] = deque()
        self._reports: deque[Reported | Exception | None] = deque()

    def fail(self, *errors: Exception) -> None:
        """The coming sends raise these, one each, after they have begun."""
        self._failures.extend(errors)

    def report(self, *answers: Reported | Exception | None) -> None:
        """What the coming looks show, one after the other; the last one repeats, an exception is raised. Otherwise: Success."""
        self._reports.extend(answers)

    async def begun(self, key: str) -> UploadFile | None:
        await checkpoint()
        return self._begun.get(key)

    async def send(self, key: str, file: UploadFile) -> Sent:
        await checkpoint()
        self._begun[key] = file
        if key not in self.stored:
            if self._failures:
                raise self._failures.popleft()
            self.stored[key] = file
        return Sent(f"upload/{key}/{file.name}", self.since, md5_echoed=True)

    async def look(self, sent: Sent) -> Reported | None:
        await checkpoint()
        if not self._reports:
            return Reported(UploadStatus.SUCCESS)
        answer = self._reports.popleft() if len(self._reports) > 1 else self._reports[0]
        if isinstance(answer, Exception):
            raise answer
        return answer
