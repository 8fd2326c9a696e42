"""The report: its vocabulary, and its forms for reading."""
