"""The sound of a film: which shots have which of its tracks, and where in the film each is heard."""
