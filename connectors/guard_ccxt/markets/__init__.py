"""What an exchange offers and says of its markets."""
