"""`python -m nasturtium.cli`: the program without its script."""

from . import main

main()
