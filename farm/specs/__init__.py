"""A spec before it is rendered: what it is warned of, and specs made for a model file."""
