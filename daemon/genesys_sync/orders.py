"""What signals ask of the daemon, over all its runs: to stop, to hurry, to go on under new settings.

SIGTERM, SIGINT   the first drains and ends the process; the second does not wait for what still runs
SIGHUP            of a terminal that was closed: as SIGTERM. Otherwise the settings are read anew: bad ones are rejected with every
                  fault and the old ones stay in force; good ones are taken up by a drain and a new run within the same process
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable

import anyio
from anyio import to_thread
from anyio.abc import TaskStatus

from genesys_sync import logs, sdnotify
from genesys_sync.errors import ConfigurationError, GenesysSyncError
from genesys_sync.settings import Settings

_log = logs.get_logger("app")


class Orders:
    """Known to the signals' task and to the run in progress. `reload` gives the settings as they stand now, proved, and may block; None:
    SIGHUP is as SIGTERM.

    stop       set when the present run is to drain
    following  the settings of the next run; None: there is none
    serving    the present run has begun its work: what fails now is no fault of its settings
    rejected   the settings in force are not those that were given last
    """

    def __init__(self, reload: Callable[[], Settings] | None = None) -> None:
        self.stop = anyio.Event()
        self.following: Settings | None = None
        self.serving = False
        self.rejected = False
        self.work: anyio.CancelScope | None = None
        self._reload = reload if not sys.stdin.isatty() else None
        self._ending = False

    def begin(self) -> None:
        """Another run begins."""
        self.following, self.serving, self.work = None, False, None
        if not self._ending:
            self.stop = anyio.Event()

    async def obey(self, whole: anyio.CancelScope, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled, or until a second signal has ended what was running (`whole` where no run has begun its work)."""
        asked = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup`
            asked.append(signal.SIGHUP)
        with anyio.open_signal_receiver(*asked) as signals:
            task_status.started()
            async for number in signals:
                if number == signal.SIGHUP and self._reload is not None:
                    await self._read_anew(self._reload)
                elif self._ending:
                    _log.warning("second signal: not waiting any longer", signal=signal.Signals(number).name)
                    (self.work or whole).cancel()
                    return
                else:
                    self._end(signal.Signals(number).name)

    def reject(self, error: GenesysSyncError) -> None:
        """The new settings cannot be used: told with every fault, and the old ones stay in force."""
        self.rejected = True
        problems = list(error.problems) if isinstance(error, ConfigurationError) else [str(error)]
        _log.error("CONFIG_REJECTED", problems=problems, action="the settings in force stay; mend them and send SIGHUP again")
        sdnotify.notify(STATUS=f"running; new settings were rejected: {problems[0]}")

    def _end(self, name: str) -> None:
        _log.info("draining", signal=name)
        sdnotify.notify(STOPPING=1, STATUS="draining")
        self._ending, self.following = True, None
        self.stop.set()

    async def _read_anew(self, reload: Callable[[], Settings]) -> None:
        if self.stop.is_set():
            return
        try:
            following = await to_thread.run_sync(reload)
        except GenesysSyncError as error:
            self.reject(error)
            return
        self.rejected = False
        _log.info("settings read anew: draining, to go on under them", signal="SIGHUP")
        sdnotify.notify(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000, STATUS="taking up new settings")
        self.following = following
        self.stop.set()
