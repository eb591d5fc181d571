"""What it costs to encode prompts with text encoders of real size."""
