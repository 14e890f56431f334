"""Image data for the bridge: reading, fetching and checking image sets, and long-tailed subsets of them (NumPy)."""
