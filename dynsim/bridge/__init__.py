"""The bridge from the theory to image networks: long-tailed image sets, and the same masks on real ResNets."""
