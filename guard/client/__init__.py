"""What a bot imports: standard library, errors and model only."""
