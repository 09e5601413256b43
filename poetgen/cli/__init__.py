"""The command line: one file per command that parses, loads, calls one function and renders."""
