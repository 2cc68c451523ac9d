"""One market's stream on one channel: what arrives becomes rows, and what is missing becomes a GAP."""
