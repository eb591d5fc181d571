"""Model files: fetched, surveyed, found in ComfyUI's folders, and how large they are."""
