"""Services that are not ours, run as their authors mean it: what `make bench-peers` installs, outside the package."""
