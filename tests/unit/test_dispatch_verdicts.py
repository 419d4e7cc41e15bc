"""Row by row: how a run ended → what becomes of its delivery."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from genesys_sync.dispatch.verdicts import BODY_LIMIT, TEXT_LIMIT, cause_of, dead_lettered, is_foreseen, judge, misuse, sentence
from genesys_sync.errors import PermanentError, ReasonCode, StorageError, StorageFull, TransientError
from genesys_sync.ledger.base import Claim, DeliveryState
from genesys_sync.plugin import Done, Park, Policy, Skip, Snooze
from genesys_sync.testing import make_event

CREATED_MS = 1_785_585_600_000
NOW_MS = CREATED_MS + 60_000
POLICY = Policy(attempts=3, time_limit=timedelta(hours=1), backoff_base=timedelta(seconds=10), backoff_cap=timedelta(minutes=5))
CLAIM = Claim(
    event=make_event("recording.ready"),
    handler="archive",
    delivery_id="dlv_1",
    attempts=0,
    snoozes=0,
    created_ms=CREATED_MS,
    fence=1,
    lease_until_ms=NOW_MS + 60_000,
    event_seq=1,
)


def verdict_on(ending, *, claim=CLAIM, policy=POLICY, now_ms=NOW_MS, random=1.0):
    return judge(ending, claim, policy, now_ms=now_ms, random=lambda: random)


def test_done_is_done_and_counts():
    verdict = verdict_on(Done(note="12 parts"))
    assert (verdict.state, verdict.counted, verdict.note) == (DeliveryState.DONE, True, "12 parts")


def test_skip_is_final_and_no_failure():
    verdict = verdict_on(Skip("a chat has no audio"))
    assert (verdict.state, verdict.counted, verdict.reason, verdict.note) == (DeliveryState.SKIPPED, True, None, "a chat has no audio")


def test_snooze_is_ready_later_without_counting():
    verdict = verdict_on(Snooze("not yet", timedelta(minutes=2)))
    assert (verdict.state, verdict.counted, verdict.snoozed, verdict.due_ms) == (DeliveryState.READY, False, True, NOW_MS + 120_000)
    assert verdict.reason is None


def test_snooze_for_no_time_waits_a_second():
    assert verdict_on(Snooze("again", timedelta(0))).due_ms == NOW_MS + 1000


def test_snooze_past_the_time_limit_comes_back_at_the_limit_and_is_dead_there():
    limit_ms = CREATED_MS + 3_600_000
    verdict = verdict_on(Snooze("not yet", timedelta(days=3)))
    assert (verdict.state, verdict.due_ms) == (DeliveryState.READY, limit_ms)
    verdict = verdict_on(Snooze("not yet", timedelta(seconds=1)), now_ms=limit_ms)
    assert (verdict.state, verdict.counted, verdict.reason) == (DeliveryState.DEAD, False, ReasonCode.TIME_EXHAUSTED)
    assert verdict.error == "not yet"


def test_park_is_ready_and_stops_the_handler():
    verdict = verdict_on(Park("410 from the receiver"))
    assert (verdict.state, verdict.counted, verdict.due_ms, verdict.park) == (DeliveryState.READY, False, NOW_MS, "410 from the receiver")


def test_transient_error_waits_for_the_back_off_of_its_attempt():
    first = verdict_on(TransientError("busy"))
    assert (first.state, first.counted, first.reason, first.error) == (DeliveryState.READY, True, ReasonCode.HANDLER_FAILED, "busy")
    assert first.due_ms == NOW_MS + 10_000
    assert verdict_on(TransientError("busy"), claim=replace(CLAIM, attempts=1)).due_ms == NOW_MS + 20_000
    assert verdict_on(TransientError("busy"), random=0.25).due_ms == NOW_MS + 2_500


def test_transient_error_names_its_own_delay():
    assert verdict_on(TransientError("later", delay=timedelta(minutes=7))).due_ms == NOW_MS + 420_000


def test_a_schedule_takes_the_place_of_the_back_off():
    policy = replace(POLICY, schedule=(timedelta(seconds=5), timedelta(minutes=5)))
    assert verdict_on(TransientError("x"), policy=policy, random=0.0).due_ms == NOW_MS + 5_000
    assert verdict_on(TransientError("x"), policy=policy, claim=replace(CLAIM, attempts=1), random=0.0).due_ms == NOW_MS + 300_000


def test_the_unforeseen_counts_and_is_retried():
    verdict = verdict_on(ZeroDivisionError("division by zero"))
    assert (verdict.state, verdict.counted, verdict.reason) == (DeliveryState.READY, True, ReasonCode.HANDLER_FAILED)
    assert verdict.error == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize("error", [TransientError("busy"), KeyError("x")])
def test_the_last_attempt_is_dead_with_attempts_exhausted(error):
    verdict = verdict_on(error, claim=replace(CLAIM, attempts=2))
    assert (verdict.state, verdict.counted, verdict.reason) == (DeliveryState.DEAD, True, ReasonCode.ATTEMPTS_EXHAUSTED)
    assert verdict_on(error, claim=replace(CLAIM, attempts=1)).state is DeliveryState.READY


def test_the_true_reason_stays_when_attempts_are_exhausted():
    verdict = verdict_on(TransientError("HTTP 502", code=ReasonCode.UNREACHABLE, correlation_id="c-1"), claim=replace(CLAIM, attempts=2))
    assert (verdict.state, verdict.reason, verdict.correlation_id) == (DeliveryState.DEAD, ReasonCode.UNREACHABLE, "c-1")


def test_an_attempt_that_would_come_after_the_time_limit_is_not_waited_for():
    shortly_before = CREATED_MS + 3_600_000 - 5_000
    verdict = verdict_on(TransientError("busy"), now_ms=shortly_before)
    assert (verdict.state, verdict.reason) == (DeliveryState.DEAD, ReasonCode.TIME_EXHAUSTED)
    assert verdict_on(TransientError("busy"), now_ms=shortly_before, random=0.4).state is DeliveryState.READY
    verdict = verdict_on(TransientError("not there", code=ReasonCode.NOT_READY), now_ms=shortly_before)
    assert verdict.reason is ReasonCode.NOT_READY


def test_permanent_error_is_dead_at_once_with_its_code():
    verdict = verdict_on(PermanentError("gone", code=ReasonCode.DELETED_UPSTREAM, correlation_id="c-2"))
    assert (verdict.state, verdict.counted, verdict.reason) == (DeliveryState.DEAD, True, ReasonCode.DELETED_UPSTREAM)
    assert (verdict.error, verdict.correlation_id) == ("gone", "c-2")


@pytest.mark.parametrize(
    ("error", "code"), [(StorageFull("no space"), ReasonCode.STORAGE_FULL), (StorageError("read-only"), ReasonCode.STORAGE_FAILED)]
)
def test_a_full_disk_uses_up_no_attempt(error, code):
    verdict = verdict_on(error, claim=replace(CLAIM, attempts=POLICY.attempts - 1))
    assert (verdict.state, verdict.counted, verdict.reason) == (DeliveryState.READY, False, code)
    late = verdict_on(error, now_ms=CREATED_MS + 3_600_000)
    assert (late.state, late.reason) == (DeliveryState.DEAD, code)


def test_nothing_dies_of_a_rate_limit_however_often_and_however_long():
    refused = TransientError("429", code=ReasonCode.RATE_LIMITED, delay=timedelta(seconds=90), correlation_id="c-3")
    verdict = verdict_on(refused, claim=replace(CLAIM, attempts=POLICY.attempts - 1))
    assert (verdict.state, verdict.counted, verdict.due_ms) == (DeliveryState.READY, False, NOW_MS + 90_000)
    assert (verdict.reason, verdict.error, verdict.correlation_id) == (ReasonCode.RATE_LIMITED, "429", "c-3")
    late = verdict_on(refused, now_ms=CREATED_MS + 30 * 86_400_000)
    assert (late.state, late.counted) == (DeliveryState.READY, False)


def test_a_rate_limit_without_a_delay_waits_between_base_and_cap():
    refused = TransientError("429", code=ReasonCode.RATE_LIMITED)
    assert verdict_on(refused, now_ms=CREATED_MS).due_ms == CREATED_MS + 10_000
    assert verdict_on(refused, now_ms=CREATED_MS + 86_400_000).due_ms == CREATED_MS + 86_400_000 + 300_000
    assert verdict_on(TransientError("429", code=ReasonCode.RATE_LIMITED, delay=timedelta(0))).due_ms == NOW_MS + 1000


def test_the_wait_for_storage_grows_with_the_delivery_s_age_between_base_and_cap():
    def wait(age_s):
        return verdict_on(StorageFull("full"), now_ms=CREATED_MS + age_s * 1000).due_ms - CREATED_MS - age_s * 1000

    assert [wait(age) for age in (0, 60, 1800)] == [10_000, 60_000, 300_000]


def test_what_the_ledger_keeps_has_no_url_and_an_end():
    text = sentence("GET https://media.example/a/b?X-Amz-Signature=abc failed " + "x" * 1000)
    assert "/a/b" not in text
    assert "abc" not in text
    assert len(text) == TEXT_LIMIT


def test_a_task_group_of_the_handler_s_own_does_not_hide_the_cause():
    inner = PermanentError("gone")
    assert cause_of(ExceptionGroup("unhandled", [ExceptionGroup("unhandled", [inner])])) is inner
    both = ExceptionGroup("two", [inner, ValueError()])
    assert cause_of(both) is both


def test_only_what_is_raised_on_purpose_is_foreseen():
    assert all(is_foreseen(ending) for ending in (Done(), TransientError("x"), PermanentError("x"), StorageFull("x")))
    assert not any(is_foreseen(ending) for ending in (ValueError(), OSError(), ExceptionGroup("g", [TransientError("x")])))


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        (None, "NoneType"),
        (Done(emit=[{"topic": "x"}]), "dict"),
        (Done(emit=iter([])), "emit must be a list"),
        (Done(emit=[make_event("a.b", body={"at": object()})]), "not JSON"),
        (Done(emit=[make_event("a.b", body={"text": "x" * BODY_LIMIT})]), "bytes"),
        (Done(emit=[make_event("a.b")] * 1001), "at most 1000"),
        (Snooze("x", 5), "Snooze.delay"),
        (TransientError("x", delay=5), "TransientError.delay"),
        (PermanentError("x", code="MINE"), "PermanentError.code"),
    ],
)
def test_what_the_ledger_would_stumble_over_is_found_before_the_commit(ending, told):
    assert told in misuse(ending)


@pytest.mark.parametrize("ending", [Done(emit=(make_event("a.b"),)), Skip("x"), Snooze("x", timedelta(1)), Park("x"), ValueError()])
def test_what_keeps_to_the_interface_is_no_misuse(ending):
    assert misuse(ending) is None


def test_a_dead_letter_announces_itself_once_and_never_a_dead_announcement():
    at = datetime(2026, 8, 2, tzinfo=UTC)
    facts = {"handler": "archive", "delivery_id": "dlv_1", "reason": ReasonCode.NOT_FOUND, "attempts": 3, "at": at}
    (announced,) = dead_lettered(CLAIM.event, **facts)
    assert (announced.topic, announced.parent_id, announced.recording_id) == (
        "delivery.dead_lettered",
        CLAIM.event.id,
        CLAIM.event.recording_id,
    )
    assert announced.body == {
        "handler": "archive",
        "deliveryId": "dlv_1",
        "topic": "recording.ready",
        "reason": "NOT_FOUND",
        "attempts": 3,
    }
    (other,) = dead_lettered(CLAIM.event, **{**facts, "delivery_id": "dlv_2"})
    assert other.id != announced.id
    assert dead_lettered(announced, **facts) == []
