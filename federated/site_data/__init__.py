"""The rows of a site: what its configuration says of them, where they are read from, and how they are split."""
