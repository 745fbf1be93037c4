"""The compiler: whole training steps as one planned, generated program."""
