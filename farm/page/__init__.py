"""The page that `farm serve` gives a browser: jobs, films, reasons, actions, from the run directories.

It needs no Ray and no running driver, and holds nothing that a run directory does not say.
"""
