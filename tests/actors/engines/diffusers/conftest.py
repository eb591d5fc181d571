"""What modules of diffusers compute at their start, and then take from the file, is computed once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def filters_once() -> Iterator[None]:
    """The wide vocoder's 400 filters, of which there are two kinds: three quarters of the time that it takes
    to be made."""
    from diffusers.pipelines.ltx2 import vocoder

    @cache
    def made(device: torch.device, *numbers: float) -> torch.Tensor:
        return plain(*numbers)

    def filter1d(cutoff: float, half_width: float, kernel_size: int) -> torch.Tensor:
        return made(torch.get_default_device(), cutoff, half_width, kernel_size)

    plain = vocoder.kaiser_sinc_filter1d
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocoder, "kaiser_sinc_filter1d", filter1d)
        yield
