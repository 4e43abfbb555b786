"""The instrument from the command line: calibration and the check of a rig."""
