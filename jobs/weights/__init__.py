"""What model files say of themselves, without torch: their headers, and what they are."""
