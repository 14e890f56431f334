"""The simulation: data, encoder, training step, what is recorded, and how runs are executed."""
