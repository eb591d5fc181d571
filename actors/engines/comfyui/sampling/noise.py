"""The noise of a shot, as ComfyUI asks for it: a NOISE for the start, a sampler that draws its own for the
steps."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from actors.engines.noise import ShotNoise

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Shot:
    """A NOISE: each latent of the clip has the noise of its shot. `seed` is given to samplers that draw in
    another way."""

    noise: ShotNoise

    @property
    def seed(self) -> int:
        return self.noise.seed

    def generate_noise(self, latent: dict[str, Any]) -> Any:
        """Unit noise like the samples of a LATENT."""
        return self.drawn(0, latent["samples"])

    def drawn(self, number: int, samples: Any) -> Any:
        """Draw `number`: of the clip with its guides, and of the sound beside it, which is the clip's own."""
        if not getattr(samples, "is_nested", False):
            return self.noise.drawn(number, [tuple(samples.shape)])[0]
        import comfy.nested_tensor

        shapes = [tuple(part.shape) for part in samples.unbind()]
        return comfy.nested_tensor.NestedTensor(self.noise.drawn(number, shapes))

    def sampler(self, sampler: Any, samples: Any) -> Any:
        """A copy of a SAMPLER whose steps draw this noise, where it lets its noise be named."""
        function = getattr(sampler, "sampler_function", None)
        if function is None or "noise_sampler" not in inspect.signature(function).parameters:
            return sampler
        mine = copy.copy(sampler)
        mine.extra_options = {**sampler.extra_options, "noise_sampler": self._steps(samples)}
        return mine

    def _steps(self, samples: Any) -> Callable[..., Any]:
        numbers = count(1)

        def draw(sigma: torch.Tensor, _next: torch.Tensor) -> torch.Tensor:
            drawn = self.drawn(next(numbers), samples)
            if getattr(drawn, "is_nested", False):
                import comfy.utils

                drawn = comfy.utils.pack_latents(drawn.unbind())[0]
            return drawn.to(sigma.device)

        return draw
