"""LTX-Video: its parts, their files and names, and one step of its transformer."""
