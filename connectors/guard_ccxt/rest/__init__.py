"""guard's REST requests of one exchange, within a share of its budget, and the past that is asked for."""
