"""The record of runs, fields, candidates, captures and karyotypes."""
