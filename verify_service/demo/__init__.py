"""A service to look at: made-up people and an attack, who use a real one at many times the speed of real time."""
