"""Films on their way out: stitched, previewed, and put in place where nothing of anybody else is touched."""
