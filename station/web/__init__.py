"""The station in a browser: its API, and the pages that use it."""
