"""A cluster that is made up in this process: nodes, processes and their faults, on a clock of its own.

Workers do their real work, one call at a time, and nothing else is real: what a run takes, when a process
dies, whether a node has room. Equal runs are equal, event by event, and a wait of an hour takes no time. It
is to Ray what a mock transport is to an HTTP client, for tests of a driver and of what is built on it.
"""
