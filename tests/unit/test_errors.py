"""Errors and their exit codes."""

from pipeline_lib.errors import NightscoreError


def test_errors_carry_the_exit_code_of_who_can_mend_them() -> None:
    def below(kind: type[NightscoreError]) -> list[type[NightscoreError]]:
        return [kind, *(inner for child in kind.__subclasses__() for inner in below(child))]

    assert {kind.__name__: kind.exit_code for kind in below(NightscoreError)} == {
        "NightscoreError": 1,
        "FaultError": 1,
        "DeviceError": 1,
        "StorageFaultError": 1,
        "LostWorkerError": 1,
        "SettingsError": 2,
        "InputError": 2,
        "CheckpointError": 2,
        "OutputError": 2,
        "GateError": 3,
        "BusyError": 4,
        "InputNotReadyError": 5,
    }
