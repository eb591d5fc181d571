"""The last few payloads of a worker, so that the next stage of a chunk need not read the store."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.payload import Payload


class PayloadCache:
    """Least recently used payloads by digest, at most `limit_bytes` of them; the newest always stays.

    Safe to use from several threads.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._held: OrderedDict[str, Payload] = OrderedDict()
        self._bytes = 0
        self._lock = threading.RLock()

    def get(self, digest: str) -> Payload | None:
        with self._lock:
            payload = self._held.get(digest)
            if payload is not None:
                self._held.move_to_end(digest)
            return payload

    def put(self, digest: str, payload: Payload) -> None:
        """Keep a payload; its arrays become read-only, since others will see them."""
        for array in payload.arrays.values():
            array.flags.writeable = False
        with self._lock:
            self.drop(digest)
            self._held[digest] = payload
            self._bytes += payload.nbytes
            while self._bytes > self.limit_bytes and len(self._held) > 1:
                self.drop(next(iter(self._held)))

    def drop(self, digest: str) -> None:
        with self._lock:
            payload = self._held.pop(digest, None)
            if payload is not None:
                self._bytes -= payload.nbytes

    def clear(self) -> None:
        with self._lock:
            self._held.clear()
            self._bytes = 0
