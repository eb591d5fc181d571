"""WHAT to render: spec, frame arithmetic, plan, stage tasks, artifact store. Neither torch nor Ray."""
