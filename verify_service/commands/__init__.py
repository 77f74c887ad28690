"""The commands of the security team; `cli` hangs them into its groups."""
