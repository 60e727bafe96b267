"""What a bank does with a score: a policy as data, one pure function from a case to a decision, and a signed report."""
