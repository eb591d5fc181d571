"""Pixels and sound: real ffmpeg, driven through ffmpeg-python. No torch, no ray."""
