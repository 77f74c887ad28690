"""Providers: one file each, each with its `ADAPTER`."""
