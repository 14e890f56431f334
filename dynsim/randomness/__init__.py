"""Random numbers: one seed gives named streams, and their numbers are drawn fast."""
