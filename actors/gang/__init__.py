"""Gangs: one worker on several devices of one node. Its first rank starts the others, and ends with them."""
