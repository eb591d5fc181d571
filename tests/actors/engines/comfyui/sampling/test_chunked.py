"""Feed-forward layers in pieces: the same numbers, less memory."""

from __future__ import annotations

import pytest
import torch

from actors.engines.comfyui.sampling.patches import chunked


class FeedForward(torch.nn.Module):
    """Shaped like the core's: its work is in `net`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(dim, 4 * dim), torch.nn.GELU(), torch.nn.Linear(4 * dim, dim)
        )


@pytest.mark.parametrize("tokens", [1, 7, 8, 100])
@pytest.mark.parametrize("chunks", [2, 8, 16])
def test_pieces_give_the_same_result(tokens: int, chunks: int) -> None:
    torch.manual_seed(0)
    layer = FeedForward(32)
    x = torch.randn(2, tokens, 32)
    with torch.inference_mode():
        assert torch.allclose(chunked(layer.net, chunks)(x), layer.net(x), atol=1e-6)


def test_an_empty_input_passes() -> None:
    with torch.inference_mode():
        assert chunked(FeedForward(8).net, 4)(torch.zeros(1, 0, 8)).shape == (1, 0, 8)


@pytest.mark.gpu
def test_pieces_lower_the_peak() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    layer = FeedForward(2048).cuda().bfloat16()
    x = torch.randn(1, 20_000, 2048, device="cuda", dtype=torch.bfloat16)

    def peak(forward: object) -> int:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        with torch.inference_mode():
            forward(x)  # type: ignore[operator]
        return torch.cuda.max_memory_allocated()

    assert peak(chunked(layer.net, 8)) < peak(layer.net)
