"""The remarks on Theorem 3.1: what imbalance does to coverage, accuracy and speed."""
