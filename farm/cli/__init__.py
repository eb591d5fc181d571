"""The command line: one module a verb, each a thin shell around plain functions. Nothing here imports torch or ray."""
