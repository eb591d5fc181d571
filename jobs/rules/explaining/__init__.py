"""What is wrong with the fields of a spec, in words: place, value, rule and remedy."""
