"""LTX-2.5's second video VAE, whose decoder denoises pixels."""
