"""Parts of the experiment on losses with labels: its methods, runs, conclusions, figures and tables."""
