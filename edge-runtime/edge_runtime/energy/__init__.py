"""What measures power here: one sensor a module, all with the interface of ``base``.

    from edge_runtime.energy.find import find

    found = find()
    for sensor in found.sensors:
        print(sensor.name, sensor.source)
    for sensor in found.unusable:
        print(sensor.name, sensor.reason)       # and what to do about it

``find`` looks; ``recorder`` reads sensors while something else runs; ``series`` makes joules of the readings;
``result`` is what an answer looks like. The protocol is `edge_runtime.probes.energy`. No sensor is an answer too:
*none*, never zero.
"""
