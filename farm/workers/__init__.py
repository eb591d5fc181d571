"""The workers of a render: what each asks of the cluster, who serves, who is slow, who is gone."""
