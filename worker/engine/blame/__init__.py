"""Who lost the answers: each compressed node's own error, its effect, and how to mend it."""
