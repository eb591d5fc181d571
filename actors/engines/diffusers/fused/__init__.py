"""What a transformer's blocks do to tokens between their matrix products, in few kernels; and products in
fp8."""
