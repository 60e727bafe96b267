"""Runs over sites that have the same columns and different applicants: what a user touches."""
