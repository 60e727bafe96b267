"""Who may do what with which data, and the proof of what was done."""
