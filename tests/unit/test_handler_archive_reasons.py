"""What the platform does not say: that a recording's time is over, that one is left out, that one may be redacted."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from genesys_sync.plugin import Done, Event, PermanentError, ReasonCode, TransientError, iso
from genesys_sync.testing import make_event
from genesys_sync.testing.harness import HandlerHarness
from genesys_sync.testing.samples import CONVERSATION_ID, RECORDING_ID
from genesys_sync_handlers.archive import Archive

pytestmark = pytest.mark.anyio

Make = Callable[..., HandlerHarness[Any]]


class Refusing:
    """Raises what it was given."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def locate(self, *_: object, **__: object) -> None:
        raise self._error


def ready(delete_date: datetime) -> Event:
    return make_event("recording.ready", body={"deleteDate": iso(delete_date)})


@pytest.mark.parametrize("code", [ReasonCode.NOT_FOUND, ReasonCode.DELETED_UPSTREAM])
@pytest.mark.parametrize(("left", "told"), [(-1, ReasonCode.RETENTION_ELAPSED), (1, None)])
async def test_what_is_gone_after_its_delete_date_is_lost_to_retention(
    handler_harness: Make, code: ReasonCode, left: int, told: ReasonCode | None
) -> None:
    async with handler_harness(Archive) as harness:
        harness.genesys.recordings = Refusing(PermanentError("gone", code=code))
        with pytest.raises(PermanentError) as caught:
            await harness.handle(ready(harness.clock.now() + timedelta(minutes=left)))
    assert caught.value.code is (told or code)


@pytest.mark.parametrize(("sees", "attempt", "error"), [(False, 8, PermanentError), (False, 7, TransientError), (True, 8, TransientError)])
async def test_what_is_left_out_without_a_word_is_forbidden_where_the_permission_is_missing(
    handler_harness: Make, *, sees: bool, attempt: int, error: type[Exception]
) -> None:
    async with handler_harness(Archive) as harness:
        harness.genesys.sees_sensitive = sees
        harness.genesys.recordings = Refusing(TransientError("no media named", code=ReasonCode.NOT_READY))
        with pytest.raises(error) as caught:
            await harness.handle(ready(harness.clock.now() + timedelta(days=9)), attempt=attempt)
    assert getattr(caught.value, "code", None) is (ReasonCode.FORBIDDEN_SENSITIVE if error is PermanentError else ReasonCode.NOT_READY)


@pytest.mark.parametrize(("sees", "variant"), [(True, "whole"), (False, "perhaps_redacted"), (None, "unknown")])
async def test_sidecar_and_event_say_which_variant_was_fetched(handler_harness: Make, *, sees: bool | None, variant: str) -> None:
    async with handler_harness(Archive) as harness:
        harness.genesys.sees_sensitive = sees
        harness.genesys.recordings.place(CONVERSATION_ID, RECORDING_ID, b"RIFF" + bytes(4000), content_type="audio/wav")
        outcome = await harness.handle(ready(harness.clock.now() + timedelta(days=9)))
        assert isinstance(outcome, Done)
        sidecar = orjson.loads(harness.storage.path(outcome.emit[0].body["sidecar"]).read_bytes())
    assert (outcome.emit[0].body["variant"], sidecar["variant"]) == (variant, variant)
