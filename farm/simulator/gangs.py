"""How much faster a gang samples than one device, before it was measured."""

from __future__ import annotations

SHARE = 0.8
"""Eight GPUs of one node are published to do LTX-2's second pass 5.2 times as fast as one; each further rank
adds less, as all wait for the slowest. Two H200 were measured at 2.0 times one with guidance, and at 1.1 to
1.8 without, by the size of the chunk (docs/gpu.md)."""


def usual_speed(ranks: int) -> float:
    """Times as fast as one device: 1.7 for two ranks, 3.0 for four, 5.3 for eight."""
    return float(ranks**SHARE)
