"""What a spec must keep to, one module for each thing that can be wrong, and how errors read."""
