"""Texts to token ids: those of the checkpoint's own tokenizer, in one buffer, each word encoded once."""
