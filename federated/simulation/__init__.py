"""A federation on one machine: real apps and messages over grids of threads, processes, or a Ray cluster."""
