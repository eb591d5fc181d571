"""The engine that comes with the package: torch and diffusers, with a room for each model family."""
