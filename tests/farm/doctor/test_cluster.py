"""A cluster that is not there. `tests/ray/test_doctor.py` has real ones."""

from __future__ import annotations

import time

from tests.farm.doctor.conftest import Doctor, found
from tests.ray.kit.head import free_port


def test_nobody_listens(doctor: Doctor) -> None:
    begun = time.monotonic()
    finding = found(doctor(None, "--address", f"127.0.0.1:{free_port()}"), "ray", "fail")
    assert "--address" in finding["fix"]
    assert time.monotonic() - begun < 30
