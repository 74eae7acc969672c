"""The authenticate service: one user, and the tokens that prove it."""
