"""One seed turned into named streams of random numbers."""
