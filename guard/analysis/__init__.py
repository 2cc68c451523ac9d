"""What guard's own past tells: reports over blocks, orders, prices and feeds. Pure: rows in, findings out."""
