"""Short-lived studies of recorded data; never part of a running guard."""
