"""What a plan is warned of: it renders, but maybe not to anyone's liking."""
