"""Whether a quiet stream, or a whole exchange, is quiet or dead."""
