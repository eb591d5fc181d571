"""A spec file to a checked spec, with what its sources are."""
