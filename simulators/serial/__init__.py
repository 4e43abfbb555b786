"""Serial controllers without hardware: byte for byte, on a pty or a TCP socket, with faults to order.

::

    controller = TangoController(FreeMechanics(ManualClock()))
    with SerialSimulator(controller, PtyLine()) as simulator:
        serial.Serial(simulator.address, 57600)

`line` is the cable, `simulator` what listens at its end, `tango` and `prior` are the two languages, `mechanics`
what moves (on its own or in the digital twin), `faults` what goes wrong, `devices` the twin's controllers as
configurations load them.
"""
