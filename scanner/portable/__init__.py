"""What differs between Linux, Windows and macOS, one small module a subject.

Nothing of this package imports the rest of the project, so that every room may use it (ADR 25). Calls that exist
on one system only stand here and nowhere else.
"""
