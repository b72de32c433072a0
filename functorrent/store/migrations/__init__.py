"""Alembic's environment (env.py) and the steps from each shape of the tables to the next (versions/)."""
