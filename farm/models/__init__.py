"""Model files from the hub: what a recipe needs, fetched, verified and recorded."""
