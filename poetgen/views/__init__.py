"""Tables, pages and drawings: how results look.  Imports no model code."""
