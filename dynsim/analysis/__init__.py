"""What is read off recorded runs: stage ends, growth rates, curves, outcomes, paired differences, summaries."""
