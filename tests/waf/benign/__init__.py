"""Traffic that is not an attack, of our own making: what a rule set says of it is a false positive."""
