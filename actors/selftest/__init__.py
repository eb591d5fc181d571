"""One LTX model measured on this machine: plausible, and, of LTX-Video, sampled as diffusers samples it?"""
