"""The laboratory's casebook: cases, people and reviews of all runs in one database."""
