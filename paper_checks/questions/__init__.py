"""Questions that were raised about the paper, and one of ours."""
