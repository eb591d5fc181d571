"""ComfyUI's core as an engine: the very functions the nodes call."""
