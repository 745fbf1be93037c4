"""Settings that must be there before NumPy is imported."""

import os

# As the command line does: small matrices lose to OpenBLAS's threads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
