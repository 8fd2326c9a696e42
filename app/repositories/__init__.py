"""The queries of the service, one table a module."""
