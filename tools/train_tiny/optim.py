"""The optimiser of every stage: Muon for matrices, AdamW for the rest; all its state lives on the device, so
a whole training step can be recorded as one CUDA graph.

Muon (Jordan et al. 2024) orthogonalises the momentum of each matrix by Newton-Schulz iterations; the update
is scaled by 0.2 * sqrt(larger side), which gives it the size of an AdamW update (Liu et al. 2025), so that
both share one learning rate. Convolution kernels count as matrices [out, in * volume].
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import nn

MOMENTUM = 0.95
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
_MIN_SIDE = 16


class Optimiser:
    """Muon and AdamW over the trainable parameters of some modules, with a clipped gradient norm of 1.

    `together`: all gradients live in one buffer, `gradient`, which ranks can average in one call.
    """

    def __init__(
        self, modules: Iterable[nn.Module], lr: float, weight_decay: float = 0.01, together: bool = False
    ) -> None:
        parts = [part for module in modules for part in module.modules()]
        matrices = {id(part.weight) for part in parts if isinstance(part, (nn.Linear, nn.Conv2d, nn.Conv3d))}
        live = [p for part in parts for p in part.parameters(recurse=False) if p.requires_grad]
        device = live[0].device
        self.peak, self.lr = lr, torch.tensor(lr, device=device)
        self._decay = weight_decay
        groups: defaultdict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        rest: list[nn.Parameter] = []
        for parameter in live:
            wide = id(parameter) in matrices and min(_as_matrix(parameter).shape) >= _MIN_SIDE
            (groups[_as_matrix(parameter).shape] if wide else rest).append(parameter)
        self._groups = list(groups.values())
        self._momentum = [[torch.zeros_like(p) for p in group] for group in self._groups]
        self._live = live
        self.gradient = _one_buffer(live) if together else None
        self._adam = torch.optim.AdamW(
            rest,
            lr=self.lr,
            betas=(0.9, 0.99),
            weight_decay=weight_decay,
            fused=True,
            capturable=device.type == "cuda",
        )

    def set_rate(self, factor: float) -> None:
        """Learning rate of the next steps: `factor` times the peak."""
        self.lr.fill_(self.peak * factor)

    def zero_grad(self) -> None:
        if self.gradient is not None:
            self.gradient.zero_()
            return
        for parameter in self._live:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        torch.nn.utils.clip_grad_norm_(self._live, 1.0)
        for group, momentum in zip(self._groups, self._momentum, strict=True):
            self._muon(group, momentum)
        self._adam.step()

    def _muon(self, group: list[nn.Parameter], momentum: list[torch.Tensor]) -> None:
        gradients = [p.grad for p in group if p.grad is not None]
        torch._foreach_lerp_(momentum, gradients, 1 - MOMENTUM)
        ahead = torch._foreach_lerp(gradients, momentum, MOMENTUM)
        update = orthogonal(torch.stack([_as_matrix(m) for m in ahead]))
        scale = 0.2 * max(update.shape[1:]) ** 0.5
        torch._foreach_mul_(list(group), 1 - self.lr * self._decay)
        steps = (update * (scale * self.lr)).unbind(0)
        torch._foreach_sub_(list(group), [s.view_as(p) for s, p in zip(steps, group, strict=True)])


def _one_buffer(parameters: list[nn.Parameter]) -> torch.Tensor:
    """A flat buffer [N] of which every gradient is a view."""
    flat = torch.zeros(sum(p.numel() for p in parameters), device=parameters[0].device)
    for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter)
    return flat


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Roughly the nearest semi-orthogonal matrices: `[N, R, C]` float32, singular values near 1."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).to(torch.bfloat16 if matrices.is_cuda else torch.float32)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return (x.mT if tall else x).float()


def _as_matrix(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(tensor.shape[0], -1)
