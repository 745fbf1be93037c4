"""nasturtium: find the best small network for data that may not leave home, train it there, and see nothing but the sum."""
