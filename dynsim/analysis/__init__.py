"""What a record says: groups, stages, rates, curves, outcomes, paired differences, summary."""
