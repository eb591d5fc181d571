"""The scheduler: a pure state machine that two clocks run, the cluster's and the simulator's."""
