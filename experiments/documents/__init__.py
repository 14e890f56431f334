"""The documents whose numbers are read from the committed summaries: what `make documents` does."""
