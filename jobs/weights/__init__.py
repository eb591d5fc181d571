"""What model files say of themselves, without torch: their headers, and what they are."""

from jobs.weights.describe import Description, describe
from jobs.weights.header import Tensor, Weights, WeightsFault, read_weights

__all__ = ["Description", "Tensor", "Weights", "WeightsFault", "describe", "read_weights"]
