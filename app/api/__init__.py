"""HTTP endpoints: they translate, and hold no rule or query."""
