"""Addresses that open one object for a time, in the manner of the object store: a query string with a date, a life and a signature."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

ALGORITHM = "AWS4-HMAC-SHA256"
_DATE = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the store does not open an object: an HTTP status, a code and a sentence, and further elements for the XML body."""

    status: int
    code: str
    message: str
    extra: tuple[tuple[str, str], ...] = ()


class Presigner:
    """Signs paths and checks what comes back. Its key lives as long as the process."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def sign(
        self, path: str, *, now: float, life: float, file_name: str = "", method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> str:
        """Path and query of an address for `path` (unquoted, beginning with a slash) that opens it from `now` for `life` seconds.

        Whoever uses it must send the signed `headers` exactly.
        """
        signed = {name.lower(): value for name, value in (headers or {}).items()}
        date = datetime.fromtimestamp(now, UTC)
        query = {
            "X-Amz-Algorithm": ALGORITHM,
            "X-Amz-Credential": f"SIMULATOR/{date:%Y%m%d}/us-east-1/s3/aws4_request",
            "X-Amz-Date": date.strftime(_DATE),
            "X-Amz-Expires": str(int(life)) if life == int(life) else str(life),
            "X-Amz-SignedHeaders": ";".join(sorted(["host", *signed])),
        }
        if file_name:
            query["response-content-disposition"] = f'attachment; filename="{file_name}"'
        return f"{quote(path)}?{urlencode(query)}&X-Amz-Signature={self._signature(method, path, query, signed)}"

    def refusal(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        has_authorization: bool,
        now: float,
        sent: Mapping[str, str] | None = None,
    ) -> Refusal | None:
        """None when the store serves this request; otherwise its refusal, in the order in which the store looks.

        `sent` are the request's headers, where some may have been signed.
        """
        signature = query.get("X-Amz-Signature")
        if has_authorization:
            if signature is None:
                return Refusal(403, "AccessDenied", "Access Denied")
            sentence = (
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "
                "Signature query string parameter or the Authorization header should be specified"
            )
            return Refusal(400, "InvalidArgument", sentence, (("ArgumentName", "Authorization"),))
        if signature is None:
            return Refusal(403, "AccessDenied", "Access Denied")
        signed = {name: value for name, value in query.items() if name != "X-Amz-Signature"}
        try:
            begun = datetime.strptime(signed["X-Amz-Date"], _DATE).replace(tzinfo=UTC).timestamp()
            life = float(signed["X-Amz-Expires"])
        except (KeyError, ValueError):
            sentence = "X-Amz-Algorithm, X-Amz-Credential, X-Amz-Date, X-Amz-Expires and X-Amz-SignedHeaders must be given and well formed"
            return Refusal(400, "AuthorizationQueryParametersError", sentence)
        names = [name for name in signed.get("X-Amz-SignedHeaders", "host").split(";") if name != "host"]
        got = {name.lower(): value for name, value in (sent or {}).items()}
        if not hmac.compare_digest(signature, self._signature(method, path, signed, {name: got.get(name, "") for name in names})):
            sentence = "The request signature we calculated does not match the signature you provided. Check your key and signing method."
            return Refusal(403, "SignatureDoesNotMatch", sentence)
        # The date has whole seconds; the life is counted from the end of that second, so that no address dies early.
        if now >= begun + 1 + life:
            times = (("X-Amz-Expires", signed["X-Amz-Expires"]), ("Expires", _when(begun + life)), ("ServerTime", _when(now)))
            return Refusal(403, "AccessDenied", "Request has expired", times)
        if unsigned := sorted(name for name in got if name.startswith("x-amz-") and name not in names):
            sentence = "There were headers present in the request which were not signed"
            return Refusal(403, "AccessDenied", sentence, (("HeadersNotSigned", ", ".join(unsigned)),))
        return None

    def _signature(self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
        lines = [*(f"{name}={query[name]}" for name in sorted(query)), *(f"{name}:{headers[name]}" for name in sorted(headers))]
        text = "\n".join([method, path, *lines])
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def _when(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"
