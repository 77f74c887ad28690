"""The read side: what is known, as people and programs outside see it, for whoever shows it."""
