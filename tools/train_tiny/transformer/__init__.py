"""The stage that trains the transformer, on banks of encoded films."""
