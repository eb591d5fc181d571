"""One place that seeds every global generator and fixes every thread count."""

from __future__ import annotations

import random
import sys

import numpy as np

_NUMPY_SEEDS = 2**32


def seed_everything(seed: int) -> None:
    """Seed `random`, NumPy and, where it is loaded, torch on all devices.

    The VAE decoder draws its noise from torch's global generator, so a stage that only decodes needs this
    as much as one that samples.
    """
    random.seed(seed)
    np.random.seed(seed % _NUMPY_SEEDS)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)


def fix_threads(threads: int) -> None:
    """Set torch's thread count, whatever OMP_NUM_THREADS says: the count reaches the bytes on a CPU."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
