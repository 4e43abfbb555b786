"""Orchestration of scans, resumed runs and batches."""
