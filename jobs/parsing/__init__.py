"""Text to plain data with line numbers, bounded before anything is built."""
