"""The instrument: what a motorised microscope can do, safely."""
