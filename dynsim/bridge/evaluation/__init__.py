"""How a frozen image encoder is judged on long-tailed classes: probes, nearest neighbours, and accuracy by group."""
