"""Which version of the farm this is. It stands nowhere else: the package takes it from here."""

VERSION = "0.1.0"
