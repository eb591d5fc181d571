"""A workflow of ComfyUI, read as a job spec."""
