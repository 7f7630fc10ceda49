"""What notebooks 02 to 08 measure on trained networks."""
