"""The model in float32 beside one in half precision, where there is memory for it."""

from collections.abc import Callable

from pipeline_lib.engines.device_memory import left_on_gpu, left_on_host
from pipeline_lib.engines.engine import Engine, is_out_of_memory
from pipeline_lib.errors import SettingsError
from pipeline_lib.scoring.precision_drift import Comparison, where_to_compare
from pipeline_lib.settings.settings import Device

Say = Callable[[str], None]


class Reference:
    """A copy of the model in float32, loaded when it is first asked for.

    Args:
        load: returns the copy's engine on a device.
        device: the run's.
        share: of a GPU that is this process's.
        on_lack: told why there is no copy; called once.
    """

    def __init__(self, load: Callable[[Device], Engine], device: Device, share: float, on_lack: Say) -> None:
        self._load, self._device, self._share, self._on_lack = load, device, share, on_lack
        self._asked = False
        self._kept: tuple[Engine, int] | None = None

    def get(self, copy: int) -> tuple[Engine, int] | None:
        """Return the copy, and how many rows of a slice it may score; None where there is no room for it.

        Args:
            copy: its bytes.
        """
        if not self._asked:
            self._asked = True
            try:
                self._kept = self._placed(copy)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self.drop("memory ran out while the float32 copy of the model was loaded")
        return self._kept

    def drop(self, why: str) -> None:
        """Let the copy go, for good."""
        self._kept = None
        self._on_lack(why)

    def _placed(self, copy: int) -> tuple[Engine, int] | None:
        on_gpu = self._device == "cuda"
        found = where_to_compare(copy, left_on_gpu(self._share), left_on_host()) if on_gpu else Comparison("cpu")
        if found is None:
            self.drop(f"a float32 copy of the model, {copy / 2**30:.1f} GiB, has no room beside the one in use")
            return None
        return self._load(found.device), found.rows


def on_lack(say: Say, limit: float | None) -> Say:
    """Return what tells that the drift from float32 is not measured, or refuses that where a limit is set.

    Args:
        say: told in words.
        limit: as in `limits.max_precision_drift`.
    """

    def tell(why: str) -> None:
        if limit is not None:
            raise SettingsError(f"limits.max_precision_drift: {limit:g} can't be checked here: {why}; leave it out")
        say(f"the drift from float32 is not measured: {why}")

    return tell
