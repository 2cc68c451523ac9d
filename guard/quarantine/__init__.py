"""Who is held back, and how they get out; pure."""
