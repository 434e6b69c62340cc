"""Whether a published night is what a run would make now: the same settings, checkpoint and input."""

from functools import cached_property
from typing import Any

from pipeline_lib.checkpoints.checkpoint import fingerprint
from pipeline_lib.checkpoints.fetching import local_folder
from pipeline_lib.errors import NightscoreError
from pipeline_lib.masking import shown
from pipeline_lib.messages import count
from pipeline_lib.nights.listing import NightInput
from pipeline_lib.planning.provenance import checkpoint_stamp, deciding_settings
from pipeline_lib.reporting.records.run_record import Provenance, PublishedResult
from pipeline_lib.settings.settings import Settings


class Present:
    """What a run would work with now.

    Args:
        settings: as read.
    """

    def __init__(self, settings: Settings) -> None:
        self._model = settings.model
        self._settings = deciding_settings(settings)
        self.note = ""
        """Why the checkpoint is not compared, if it is not."""
        try:
            self._checkpoint = checkpoint_stamp(settings.model)
        except NightscoreError as error:
            self._checkpoint = ""
            self.note = f"the model is not compared: {error}"

    def changes(self, published: PublishedResult, now: NightInput) -> list[str]:
        """Return in words what differs from what a published result was made from; what is not known is no change.

        Input that is gone altogether is no change: raw data is often deleted after a while.

        Args:
            published: the result.
            now: the input as it is now.
        """
        made_from = published.made_from
        changes = _setting_changes(made_from.settings or {}, self._settings)
        if made_from.checkpoint and self._checkpoint and self._is_other_checkpoint(published):
            changes.append(f"other model than {shown(published.model, 200)}")
        if made_from.input_stamp and now.shards and now.stamp != made_from.input_stamp:
            changes.append(_input_change(made_from.shards or 0, now.shards))
        if now.error:
            changes.append(now.error)
        return changes

    def has_settings_of(self, made_from: Provenance) -> bool:
        """Tell whether a run had the settings of now, as far as they can make another version."""
        return not _setting_changes(made_from.settings or {}, self._settings)

    def _is_other_checkpoint(self, published: PublishedResult) -> bool:
        before = published.made_from.checkpoint or ""
        if before == self._checkpoint:
            return False
        # A copy of a folder has other times; its content decides.
        is_copy = before.startswith("folder ") and self._checkpoint.startswith("folder ")
        return not is_copy or self._content is None or self._content != published.model_sha256

    @cached_property
    def _content(self) -> str | None:
        folder = local_folder(self._model)
        try:
            return fingerprint(folder, self._model) if folder else None
        except NightscoreError:
            return None


def _setting_changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return the settings that differ; one that an earlier release did not have is not known to differ."""
    changed = {name: (before[name], now[name]) for name in now if name in before and before[name] != now[name]}
    if changed.pop("format", None):
        return ["another release, which makes another version"]
    return [f"{name} {shown(old, 30)}, now {shown(new, 30)}" for name, (old, new) in changed.items()]


def _input_change(before: int, now: int) -> str:
    if now > before:
        return f"late shards: {count(before, 'shard')}, now {now:,}"
    return f"shards are gone: {count(before, 'shard')}, now {now:,}" if now < before else "changed shards"
