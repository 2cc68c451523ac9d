"""The embedded exchange: a local server that trades a seeded market."""
