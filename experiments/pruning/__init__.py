"""What only the pruning experiments use: runs, points, search, drivers, probes, the map, the reweighted loss."""
