"""The stages as plain functions: a task and its inputs in, a payload or a file out.

The farm's workers, the serial reference and the ComfyUI nodes call the same ones.
"""
