"""Rules about the sound of videos: their tracks, and how far into their files films play."""
