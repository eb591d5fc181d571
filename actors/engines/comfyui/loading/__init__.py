"""Model files to ComfyUI's objects."""
