"""The report as a compact Markdown document."""
