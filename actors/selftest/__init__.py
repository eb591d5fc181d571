"""One LTX-Video model measured on this machine: is it plausible, and sampled as diffusers samples it?"""
