"""The experiments: one file per question, each with a record `EXPERIMENT` that the command `dynsim` and make run."""
