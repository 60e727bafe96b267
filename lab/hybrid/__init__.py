"""Runs over banks whose applicants' other features lie with data nodes: what they add to runs over sites."""
