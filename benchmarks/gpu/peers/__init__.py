"""The same clip by the farm and by others, who bring their own pipelines."""
