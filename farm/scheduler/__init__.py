"""The scheduler: a pure state machine that two clocks run, the cluster's and the simulator's.

graph.py                            the task graph as flat arrays
events.py commands.py reasons.py    what goes in, what comes out, and why
config.py                           what can be set
core.py                             the state machine
board.py                            its state, made of tasks queues admission roster deadlines recovery
policy.py health.py                 its decisions: which task next, which worker rests
"""
