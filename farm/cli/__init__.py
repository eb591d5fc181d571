"""The command line: one module a verb, each a thin shell around plain functions, without torch or ray."""
