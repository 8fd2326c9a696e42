"""The rules of the service, one noun a module."""
