"""Retakes: which latents of a source are made anew, and the chunks that its film is made of."""
