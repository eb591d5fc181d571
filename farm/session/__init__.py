"""One job while it renders, whichever executor drives it: what is there, what is left, what can go."""
