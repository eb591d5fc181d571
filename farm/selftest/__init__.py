"""`farm selftest`: one model on one machine, examined and reported."""
