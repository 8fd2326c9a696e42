"""How fast both models are, what memory they take, and why one is slower."""
