"""The errors that this program raises on purpose (some modules refine them), and the closed list of a dead letter's reasons.

    GenesysSyncError
    ├── TransientError           again may help: the delivery is retried after its back-off
    │   └── MediaUrlExpired      the presigned URL has passed its expiry: locate the media afresh, then go on
    ├── PermanentError           again is useless: the delivery becomes a dead letter at once
    ├── ConfigurationError       the settings cannot be used; exit 78
    ├── CredentialsRefused       the login host refused the OAuth client; exit 77
    ├── HandlerNotStarted        a handler could not be opened; exit 69
    ├── PortInUse                the health listener's address is taken; exit 75
    ├── LedgerError              the ledger cannot be opened, read or trusted; exit 74
    │   ├── LedgerLocked         another process holds it; exit 75
    │   ├── LedgerMisplaced      it cannot lie where the settings say; exit 78
    │   ├── LedgerOfAnother      it belongs to another organisation than the OAuth client; exit 78
    │   ├── LedgerTooNew         written by a later release; exit 65
    │   ├── AuditMismatch        its audit files tell another story; exit 65
    │   ├── LedgerFull           no space: what was committed is safe, writes wait; exit 75
    │   └── LedgerSyncFailed     an fsync failed: nothing may be assumed, the process must end; exit 74
    └── StorageError             the archive cannot be written; exit 74
        └── StorageFull          no space: work waits, nothing is lost

Exit codes follow sysexits(3). A message is one sentence that names what was wrong and what to do next; it never holds a secret,
a URL or personal data, because messages reach logs, the ledger and dead letters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar

EX_OK = 0
EX_USAGE = 64
EX_DATAERR = 65
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_IOERR = 74
EX_TEMPFAIL = 75
EX_NOPERM = 77
EX_CONFIG = 78


class ReasonCode(StrEnum):
    """Why a delivery was given up. The list is closed: a dead letter always carries one of these, and it is true."""

    # the dispatcher's own verdicts
    ATTEMPTS_EXHAUSTED = "ATTEMPTS_EXHAUSTED"
    TIME_EXHAUSTED = "TIME_EXHAUSTED"
    TIMED_OUT = "TIMED_OUT"
    HANDLER_CRASHED = "HANDLER_CRASHED"
    HANDLER_FAILED = "HANDLER_FAILED"
    HANDLER_REFUSED = "HANDLER_REFUSED"
    # the platform's
    UNREACHABLE = "UNREACHABLE"
    RATE_LIMITED = "RATE_LIMITED"
    REQUEST_REFUSED = "REQUEST_REFUSED"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    BAD_ANSWER = "BAD_ANSWER"
    # a recording's
    DELETED_UPSTREAM = "DELETED_UPSTREAM"
    RETENTION_ELAPSED = "RETENTION_ELAPSED"
    FORBIDDEN_SENSITIVE = "FORBIDDEN_SENSITIVE"
    FILESTATE_ERROR = "FILESTATE_ERROR"
    NEVER_APPEARED = "NEVER_APPEARED"
    NOT_READY = "NOT_READY"
    # the media's
    MEDIA_URL_EXPIRED = "MEDIA_URL_EXPIRED"
    URL_REFUSED = "URL_REFUSED"
    BODY_LENGTH_MISMATCH = "BODY_LENGTH_MISMATCH"
    DOWNLOAD_INTERRUPTED = "DOWNLOAD_INTERRUPTED"
    DOWNLOAD_TOO_SLOW = "DOWNLOAD_TOO_SLOW"
    MEDIA_CHANGED = "MEDIA_CHANGED"
    VERIFIER_FAILED = "VERIFIER_FAILED"
    # a redaction's
    REDACTION_FAILED = "REDACTION_FAILED"
    # the disk's
    STORAGE_FULL = "STORAGE_FULL"
    STORAGE_FAILED = "STORAGE_FAILED"
    ID_INVALID = "ID_INVALID"
    # a receiver's
    RECEIVER_REFUSED = "RECEIVER_REFUSED"
    RECEIVER_UNREACHABLE = "RECEIVER_UNREACHABLE"


class GenesysSyncError(Exception):
    """The root of the tree above. `exit_code` is what the process ends with when nobody handles it."""

    exit_code: ClassVar[int] = EX_SOFTWARE


class TransientError(GenesysSyncError):
    """Again may help. `delay` overrides the back-off of the handler's policy; `code` is kept as the dead letter's reason
    should attempts or time run out."""

    exit_code = EX_TEMPFAIL

    def __init__(
        self, reason: str, *, delay: timedelta | None = None, code: ReasonCode = ReasonCode.HANDLER_FAILED, correlation_id: str = ""
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.delay = delay
        self.code = code
        self.correlation_id = correlation_id


class MediaUrlExpired(TransientError):
    """The store refused a presigned URL because its time has passed. Locating the media again gives a new one."""

    def __init__(self, reason: str = "the media URL has expired") -> None:
        super().__init__(reason, code=ReasonCode.MEDIA_URL_EXPIRED)


class PermanentError(GenesysSyncError):
    """Again is useless: the delivery becomes a dead letter at once, with `code` as its reason. Where it was the platform that refused,
    `status` and `platform_code` are its own."""

    status: int = 0
    platform_code: str = ""

    def __init__(self, reason: str, *, code: ReasonCode = ReasonCode.HANDLER_REFUSED, correlation_id: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.correlation_id = correlation_id


class ConfigurationError(GenesysSyncError):
    """The settings cannot be used. `problems` holds one sentence for each fault, all of them, each beginning with the key's path,
    before which the place in the settings file may stand."""

    exit_code = EX_CONFIG

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class CredentialsRefused(GenesysSyncError):
    """The login host refused the OAuth client: wrong id, wrong secret, or right ones sent to the wrong region."""

    exit_code = EX_NOPERM


class HandlerNotStarted(GenesysSyncError):
    """A handler's `running` failed before it was ready, so nothing was started; the message names the handler."""

    exit_code = EX_UNAVAILABLE


class PortInUse(GenesysSyncError):
    """The health listener's address is taken by another process."""

    exit_code = EX_TEMPFAIL


class LedgerError(GenesysSyncError):
    """The ledger cannot be opened, read or trusted."""

    exit_code = EX_IOERR


class LedgerLocked(LedgerError):
    """Another living process holds this ledger."""

    exit_code = EX_TEMPFAIL


class LedgerMisplaced(LedgerError):
    """The ledger cannot lie where the settings say: its folder cannot be made or written, or is none. Nothing was changed."""

    exit_code = EX_CONFIG


class LedgerOfAnother(LedgerError):
    """The ledger holds the events of another organisation than that of the OAuth client. Nothing was changed."""

    exit_code = EX_CONFIG


class LedgerTooNew(LedgerError):
    """The ledger's schema was written by a later release; nothing was changed."""

    exit_code = EX_DATAERR


class AuditMismatch(LedgerError):
    """The audit files are not those of this ledger: one of them is an older copy, or was altered. Nothing was changed."""

    exit_code = EX_DATAERR


class LedgerFull(LedgerError):
    """The ledger's file system is full. What was committed before is safe; nothing after it was taken."""

    exit_code = EX_TEMPFAIL


class LedgerSyncFailed(LedgerError):
    """A commit could not be made durable. The state on disk is unknown until it is read again, so the process must end."""


class StorageError(GenesysSyncError):
    """The archive cannot be written or read."""

    exit_code = EX_IOERR


class StorageFull(StorageError):
    """The archive's file system has no space left. Deliveries wait and are tried again."""


def root_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What made the task group end: our own error where there is one, the only other error otherwise."""
    leaves = list(_leaves(group))
    ours = [leaf for leaf in leaves if isinstance(leaf, GenesysSyncError)]
    return (ours or leaves)[0] if ours or len(leaves) == 1 else group


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
