"""From an area on the slide to an ordered sequence of fields."""
