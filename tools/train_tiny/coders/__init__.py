"""The stages that train what encodes and decodes picture and sound, and what enlarges latents."""
