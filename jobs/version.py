"""Which version of the farm this is."""

VERSION = "0.1.0"
