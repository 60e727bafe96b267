"""The hub: one TLS port that nodes dial, behind it Flower's SuperLink and the blind relay."""
