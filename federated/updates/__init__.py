"""What an update is made of: which tensors travel, as which integers, and what a sum of them means."""
