"""Countersigning: at the end of a session every party signs where every party's audit log stands."""
