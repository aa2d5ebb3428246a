"""How a new version comes to this device, proves itself, and goes again when it does not.

In the order of an update: ``install`` checks a bundle (``checks``), stages it and has it tested in a child process
(``selftest``), and puts it on trial; ``trial`` counts its attempts and inferences, and commits it or goes back;
``rollback`` goes back; ``recovery`` is run before anything else and finishes what a crash has interrupted; ``gc``
removes what is no longer needed. ``state`` is the one file that decides which version is current, ``home`` the folder
with everything in it, ``history`` what happened. All of them change the disk through ``durable`` alone.

None of this imports numpy or an inference engine, so that a broken one cannot keep a device from going back; only
``selftest_child`` does, in a process of its own. docs/update.md has the state machine.
"""
