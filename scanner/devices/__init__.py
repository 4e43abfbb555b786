"""Drivers of our own: controllers on a serial line, as Micro-Manager Python devices.

`connection` owns the line, `controller` what every motion controller has to keep, `tango` and `prior` the two
command sets, `axes` the stage and focus devices that hang on either.
The commands are listed in ``docs/reference/serial``.
"""
