"""The run: protocol, plan, field loop, storage, hand-over to analysis, casebook."""
