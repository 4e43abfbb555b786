"""Protocols before a run: checked, explained, and begun from a packaged one."""
