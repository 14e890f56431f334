"""What only the experiments on images use: arms, runs, tables and figures."""
