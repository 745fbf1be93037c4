"""From graphs to programs of kernels: where values lie, what is fused, when memory is free again."""
