"""Alembic's scripts. `env.py` is run by Alembic, never imported; see `..migrate` for who calls it."""
