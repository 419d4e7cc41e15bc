"""F37: SIGHUP takes changed settings up; bad ones are rejected, and the old ones stay in force."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

CALLS = """
start = "at-once"
[calls]
count = 2
duration = ["300ms", "500ms"]
[recordings]
appear_after = ["50ms", "100ms"]
available_after = ["100ms", "200ms"]
"""


def test_settings_are_taken_up_rejected_and_given_up(
    simulator: Callable[..., Any], daemon: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    here = daemon(simulator(CALLS))
    good = here.settings.read_text()
    here.settings = here.folder / "settings.toml"
    here.settings.write_text(good)
    here.start()
    wait(lambda: '"running"' in here.log, what="the daemon running")
    assert here.process is not None

    here.settings.write_text(good + "\n[feed\n")
    here.process.send_signal(signal.SIGHUP)
    wait(lambda: "CONFIG_REJECTED" in here.log, what="a file that is no TOML rejected")
    here.settings.write_text(good.replace("[log]", "[log]\ncolour = 1", 1))
    here.process.send_signal(signal.SIGHUP)
    wait(lambda: here.log.count("CONFIG_REJECTED") == 2, what="an unknown key rejected")
    assert "colour" in here.log
    assert here.process.poll() is None
    assert here.log.count('"running"') == 1, "it did not begin anew"

    here.settings.write_text(good)
    here.process.send_signal(signal.SIGHUP)
    wait(lambda: here.log.count('"running"') == 2, what="running under the settings read anew")
    assert here.log.count("CONFIG_REJECTED") == 2

    (here.folder / "file").touch()
    here.settings.write_text(good.replace("[audit]", f'[audit]\nfolder = "{here.folder}/file/audit"', 1))
    here.process.send_signal(signal.SIGHUP)
    wait(lambda: here.log.count("CONFIG_REJECTED") == 3, what="settings with which nothing can be opened rejected")
    wait(lambda: here.log.count('"running"') == 3, what="running under the settings before")
    assert "Traceback" not in here.log
    assert here.stop() == 0
