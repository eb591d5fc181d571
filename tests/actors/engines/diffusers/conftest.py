"""What modules of diffusers compute at their start, and then take from the file, is computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def filters_once() -> Iterator[None]:
    """The wide vocoder's 400 filters, of which there are two kinds: three quarters of the time that it takes
    to be made."""
    from diffusers.pipelines.ltx2 import vocoder

    plain = vocoder.kaiser_sinc_filter1d

    @cache
    def maker(_: torch.device) -> Callable[..., torch.Tensor]:
        return cache(plain)

    def filter1d(*numbers: float, **named: float) -> torch.Tensor:
        return maker(torch.get_default_device())(*numbers, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocoder, "kaiser_sinc_filter1d", filter1d)
        yield
