"""The executors: on Ray and in one process."""
