"""Which values of the truth column stand for which label of the checkpoint."""

import json
from collections.abc import Mapping
from typing import Any

from pipeline_lib.checkpoints.checkpoint import Checkpoint
from pipeline_lib.errors import SettingsError
from pipeline_lib.settings.settings import Settings
from pipeline_lib.statistics.truth import TruthLabels


def truth_settings(settings: Mapping[str, Any]) -> str:
    """Return the settings of the truth as a text: truths that were read by other settings are never added.

    Args:
        settings: as JSON values, maybe of a release that had no such settings.
    """
    given = settings.get("input", {})
    return json.dumps([given.get("truth_column"), given.get("truth_labels") or {}], sort_keys=True)


def truth_labels(settings: Settings, checkpoint: Checkpoint) -> TruthLabels:
    """Return what reads true labels; decided before work starts, since it takes the checkpoint's labels.

    Raises:
        SettingsError: the settings map a value to a label that the model does not have.
    """
    try:
        return TruthLabels(checkpoint.labels, settings.input.truth_labels)
    except SettingsError as error:
        raise SettingsError(f"input.truth_labels: {error}") from None
