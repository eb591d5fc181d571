"""The engine of the bundled tiny model: torch and diffusers, with a room for each model family."""
