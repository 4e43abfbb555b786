"""From an image file to the working image: background, foreground, nuclei, chromosome width."""
