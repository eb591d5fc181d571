"""Each segment is encoded once a session: hundreds of tests render the same film.

ffmpeg gives equal bytes for an equal command and equal frames, which `tests/actors/media` holds it to; a
later encoding of what was encoded before is a copy. Frames are consumed, checked and written as ever.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.media.process import Call

Run = Callable[..., bytes]


def encoded_once(run: Run, folder: Path) -> Run:
    """`run` of `actors.media.process` that keeps in `folder` what it made; with sound, which it is given as a
    file, it keeps nothing."""

    def run_once(command: list[str], call: Call, feed: Iterable[memoryview | bytes] = ()) -> bytes:
        if call.writes is None or "f32le" in command:
            return run(command, call, feed)
        pieces = [bytes(piece) for piece in feed]
        plain = "\0".join(command).replace(str(call.writes), "")
        kept = folder / hashlib.sha256(b"\0".join([plain.encode(), *pieces])).hexdigest()
        if kept.exists():
            shutil.copyfile(kept, call.writes)
            return b""
        output = run(command, call, pieces)
        fresh = kept.with_name(secrets.token_hex(8))
        shutil.copyfile(call.writes, fresh)
        fresh.rename(kept)
        return output

    return run_once
