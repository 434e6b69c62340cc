"""The model in float32 beside one in half precision, where there is memory for it."""

from collections.abc import Callable

from pipeline_lib.engines.device_memory import free_gpu_bytes, free_host_bytes
from pipeline_lib.engines.engine import Engine, is_out_of_memory
from pipeline_lib.errors import SettingsError
from pipeline_lib.scoring.precision_drift import Comparison, place_reference
from pipeline_lib.settings.sections.limits import LimitSettings
from pipeline_lib.settings.sections.tuning import Device

Note = Callable[[str], None]


class Float32Reference:
    """A copy of the model in float32, loaded when it is first asked for.

    Args:
        load: returns the copy's engine on a device.
        device: the kind of device that the run computes on.
        gpu_share: the share of a GPU that is this process's.
        on_missing: called once, with the reason, if there is no copy.
    """

    def __init__(
        self, load: Callable[[Device], Engine], device: Device, gpu_share: float, on_missing: Note
    ) -> None:
        self._load, self._device, self._gpu_share, self._on_missing = load, device, gpu_share, on_missing
        self._was_asked = False
        self._reference: tuple[Engine, int] | None = None

    def get(self, copy_bytes: int) -> tuple[Engine, int] | None:
        """Return the copy, and how many rows of a slice it may score; None where there is no room for it.

        Args:
            copy_bytes: memory of the model in float32.
        """
        if not self._was_asked:
            self._was_asked = True
            try:
                self._reference = self._load_where_it_fits(copy_bytes)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self.drop("memory ran out while the float32 copy of the model was loaded")
        return self._reference

    def drop(self, why: str) -> None:
        """Give the copy up, for the rest of the run."""
        self._reference = None
        self._on_missing(why)

    def _load_where_it_fits(self, copy_bytes: int) -> tuple[Engine, int] | None:
        on_gpu = self._device == "cuda"
        place = (
            place_reference(copy_bytes, free_gpu_bytes(self._gpu_share), free_host_bytes())
            if on_gpu
            else Comparison("cpu")
        )
        if place is None:
            self.drop(
                f"a float32 copy of the model, {copy_bytes / 2**30:.1f} GiB, has no room beside the one in use"
            )
            return None
        return self._load(place.device), place.rows


def note_or_refuse(note: Note, limits: LimitSettings) -> Note:
    """Return a function that says why the drift from float32 is not measured, or raises where a limit is set.

    Args:
        note: called with what a user should know and is no failure.
        limits: of the settings.
    """
    names = "max_precision_drift", "max_precision_flips"
    asked = {name: limit for name in names if (limit := getattr(limits, name)) is not None}

    def note_missing(why: str) -> None:
        for name, limit in asked.items():
            raise SettingsError(f"limits.{name}: {limit:g} can't be checked here: {why}; leave it out")
        note(f"the drift from float32 is not measured: {why}")

    return note_missing
