"""What the finder's net learns from, and how."""
