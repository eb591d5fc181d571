"""ComfyUI as a library: what is asked of a core, bringing it up, its nodes and its memory."""
