"""The strict field loop and the capture loop."""
