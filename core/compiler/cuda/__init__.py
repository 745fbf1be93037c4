"""From graphs to programs of CUDA kernels: what is fused, the C++ that is generated, one planned block of memory."""
