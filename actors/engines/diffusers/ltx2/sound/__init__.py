"""Sound of LTX-2: its latents, its spectra, and the models between them."""
