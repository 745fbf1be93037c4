"""The coordinator of a run: rounds and their attempts, what is written down of them, and how a run is gone on with."""
