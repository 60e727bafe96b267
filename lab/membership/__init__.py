"""A party's membership of a hub: its papers, its Flower node, and the sessions it takes part in."""
