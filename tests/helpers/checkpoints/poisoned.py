"""A checkpoint whose model fails, or ends its process, at certain tokens; and passes at some once it has failed.

It can also see to it that its process ends as soon as that opens a certain file.
"""

import json
import shutil
from pathlib import Path

CODE = """
import os
import signal
import sys
import time

import torch
from transformers import BertForSequenceClassification


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


class Poisoned(BertForSequenceClassification):
    def __init__(self, config):
        super().__init__(config)
        if config.at_start and "default_worker" in sys.argv[0]:
            kill()
        if config.unreadable and "default_worker" in sys.argv[0]:
            sys.addaudithook(lambda event, told: event == "open" and told[0] == config.unreadable and kill())

    def forward(self, input_ids=None, **inputs):
        if input_ids.numel() > self.config.room:
            with open(self.config.flag, "a") as flag:
                flag.write(".")
            torch.empty(1 << 50)  # a petabyte
        if torch.jit.is_tracing() and self.config.when_traced == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if torch.jit.is_tracing() and self.config.when_traced == "hangs":
            open(self.config.flag, "w").close()
            time.sleep(600)
        if (input_ids == self.config.kills).any():
            kill()
        if (input_ids == self.config.fails).any():
            raise RuntimeError("a row that the model can't take")
        if (input_ids == self.config.passes).any() and os.path.exists(self.config.flag):
            os.unlink(self.config.flag)
            raise RuntimeError("once only")
        return super().forward(input_ids=input_ids, **inputs)
"""

KILLS, FAILS, PASSES = "7", "!", "8"
"""Words that are one token each."""


def build(
    checkpoint: Path,
    folder: Path,
    flag: Path,
    *,
    at_start: bool = False,
    unreadable: Path | None = None,
    when_traced: str = "answers",
    room: int = 1 << 40,
) -> Path:
    """Make the poisoned checkpoint of a healthy one.

    Args:
        checkpoint: the tiny BERT.
        folder: to write to.
        flag: a file; while it is there, the next text with the word that passes fails, and takes it away.
        at_start: whether the model ends its worker's process as soon as it is loaded.
        unreadable: a file whose opening ends a worker's process that has loaded the model.
        when_traced: what it does while it is converted: `answers`, `dies`, or `hangs` once it has made the flag.
        room: tokens of a batch, padding included, beyond which it asks for more memory than there is, and adds a
            dot to the flag.
    """
    from transformers import AutoTokenizer

    shutil.copytree(checkpoint, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    kills, fails, passes = (tokenizer(word)["input_ids"][1] for word in (KILLS, FAILS, PASSES))
    (folder / "poisoned.py").write_text(CODE)
    config = json.loads((folder / "config.json").read_text())
    config |= {"kills": kills, "fails": fails, "passes": passes, "flag": str(flag), "at_start": at_start}
    config["unreadable"] = str(unreadable or "")
    config |= {"when_traced": when_traced, "room": room}
    config["auto_map"] = {"AutoModelForSequenceClassification": "poisoned.Poisoned"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder
