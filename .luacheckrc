-- What Redis shows a function that is called, and what store/functions.py puts around each source.
std = 'lua51'
read_globals = {'redis', 'cmsgpack', 'struct', 'import', 'VERSION', 'SCRATCH', 'KINDS', 'SOURCES', 'FUNCTIONS'}
max_line_length = 120
-- A parameter may have a module's name.
ignore = {'431'}
