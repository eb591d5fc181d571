"""What computes the stages: the protocol, the engines that keep it, and what they share."""
