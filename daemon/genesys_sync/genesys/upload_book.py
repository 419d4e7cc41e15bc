"""The uploads that were begun, one small file each beside the ledger: so that a restarted process goes on where the last one ended.

A presigned address is a secret, and the ledger is no place for it; here its owner alone may read it, and it is struck out as soon as the
store holds the file.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
from anyio import to_thread

from genesys_sync.disk import fsync_folder, storage_error
from genesys_sync.genesys.upload_rules import Presigned
from genesys_sync.services.uploads import UploadFile

KEPT_SECONDS: Final = 14 * 86_400
"""Longer than any delivery of an upload lives."""
_KEY: Final = re.compile(r"[A-Za-z0-9_]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """An upload under way, or stored. Times are `Clock.epoch_ms`.

    put      where it goes; None once it is stored
    stored   the store has said that it holds all of it; `md5_echoed` as in `Sent`
    """

    file: UploadFile
    upload_key: str
    asked_ms: int
    expires_ms: int
    put: Presigned | None
    stored: bool = False
    md5_echoed: bool = False

    def finished(self, *, md5_echoed: bool) -> Begun:
        """The same, stored; the address is forgotten."""
        return replace(self, put=None, stored=True, md5_echoed=md5_echoed)


class UploadBook:
    """Shared by all uploads of a process. Without a `folder` it forgets with the process."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._here: dict[str, Begun] = {}

    async def get(self, key: str) -> Begun | None:
        """What is known under this key; a file that cannot be read is the same as none."""
        if self._folder is None:
            return self._here.get(key)
        return await to_thread.run_sync(_load, self._file(key))

    async def put(self, key: str, begun: Begun) -> None:
        """Known from now on, also after a kill or power cut. Raises StorageFull or StorageError."""
        if self._folder is None:
            self._here[key] = begun
            return
        await to_thread.run_sync(partial(_save, self._file(key), orjson.dumps(_tree(begun))))

    async def sweep(self) -> None:
        """What is too old to be of use is gone."""
        if self._folder is not None:
            await to_thread.run_sync(_sweep, self._folder)

    def _file(self, key: str) -> Path:
        if self._folder is None or _KEY.fullmatch(key) is None:
            raise ValueError("the key of an upload is 1 to 100 letters, digits and _")
        return self._folder / f"{key}.json"


def _tree(begun: Begun) -> dict[str, Any]:
    file, put = begun.file, begun.put
    return {
        "path": str(file.path),
        "name": file.name,
        "bytes": file.bytes,
        "modifiedNs": file.modified_ns,
        "md5": file.md5,
        "contentType": file.content_type,
        "facts": dict(file.facts),
        "uploadKey": begun.upload_key,
        "askedMs": begun.asked_ms,
        "expiresMs": begun.expires_ms,
        "stored": begun.stored,
        "md5Echoed": begun.md5_echoed,
        "put": None if put is None else {"url": put.url, "headers": dict(put.headers)},
    }


def _begun(tree: Mapping[str, Any]) -> Begun:
    """Raises KeyError, TypeError or ValueError for anything that `_tree` did not make."""
    put = tree["put"]
    if (put is None) is not (tree["stored"] is True):
        raise ValueError("an upload either has an address or is stored")
    return Begun(
        file=UploadFile(
            path=Path(tree["path"]),
            name=str(tree["name"]),
            bytes=int(tree["bytes"]),
            modified_ns=int(tree["modifiedNs"]),
            md5=str(tree["md5"]),
            content_type=str(tree["contentType"]),
            facts=dict(tree["facts"]),
        ),
        upload_key=str(tree["uploadKey"]),
        asked_ms=int(tree["askedMs"]),
        expires_ms=int(tree["expiresMs"]),
        stored=tree["stored"] is True,
        md5_echoed=tree["md5Echoed"] is True,
        put=None if put is None else Presigned(str(put["url"]), str(tree["uploadKey"]), dict(put["headers"])),
    )


def _load(file: Path) -> Begun | None:
    try:
        return _begun(orjson.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _save(file: Path, data: bytes) -> None:
    """Whole or not at all, and for the owner alone."""
    new = file.with_name(f"{file.name}.new")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)
        fsync_folder(file.parent)
    except OSError as error:
        raise storage_error(error, "noting how far an upload is") from error


def _sweep(folder: Path) -> None:
    oldest = time.time() - KEPT_SECONDS
    with suppress(OSError):
        for file in folder.iterdir():
            with suppress(OSError):
                if file.suffix in {".json", ".new"} and file.stat().st_mtime < oldest:
                    file.unlink()
