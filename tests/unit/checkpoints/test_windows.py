"""Windows are cut as the tokenizers library cuts an encoding, whatever the lengths, the stride and the side."""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import EsmTokenizer, PreTrainedTokenizerFast

from pipeline_lib.checkpoints.windows import WindowCut
from pipeline_lib.engines.inspection.probe_texts import varied_text
from pipeline_lib.engines.inspection.window_check import window_cut
from pipeline_lib.errors import CheckpointError
from pipeline_lib.inputs import columns
from pipeline_lib.scoring.token_columns import DistinctRows, tokens_to_compute
from pipeline_lib.scoring.windows import Windows
from pipeline_lib.settings.sections.model import ModelSettings, WindowJoin

MOST = 60
VOCABULARY = {str(number): number for number in range(MOST)} | {"[A]": MOST, "[B]": MOST + 1, "[C]": MOST + 2}


@st.composite
def cuts(draw: st.DrawFn) -> WindowCut:
    content = draw(st.integers(1, 20))
    before, after = draw(st.integers(0, 2)), draw(st.integers(0, 1))
    join: WindowJoin = draw(st.sampled_from(["mean", "max"]))
    stride = draw(st.integers(0, content - 1))
    return WindowCut(content + before + after, stride, before, after, draw(st.booleans()), join)


def tokenizer_of(cut: WindowCut) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, "0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    single = " ".join([*["[A]", "[B]"][: cut.before], "$0", *["[C]"][: cut.after]])
    special = [(name, VOCABULARY[name]) for name in ("[A]", "[B]", "[C]")]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=special)
    return tokenizer


def windows_of(texts: list[list[int]], cut: WindowCut) -> Windows:
    table = pa.table({columns.TOKEN_IDS: pa.array(texts, pa.list_(pa.int32()))})
    return Windows(DistinctRows.of(table, np.arange(len(texts))), cut)


@given(cut=cuts(), lengths=st.lists(st.integers(0, MOST), min_size=1, max_size=5, unique=True))
def test_windows_are_those_of_the_tokenizers_library(cut: WindowCut, lengths: list[int]) -> None:
    tokenizer = tokenizer_of(cut)
    side: Literal["left", "right"] = "left" if cut.from_end else "right"
    lengths = [length for length in lengths if length + cut.before + cut.after]
    texts = [" ".join(map(str, range(length))) for length in lengths]
    whole = [tokenizer.encode(text).ids for text in texts]
    tokenizer.enable_truncation(cut.limit, stride=cut.stride, direction=side)
    expected = [
        [encoded.ids, *(more.ids for more in encoded.overflowing)] for encoded in map(tokenizer.encode, texts)
    ]
    windows = windows_of(whole, cut)
    ids, _ = windows.ids(np.arange(len(windows.text)))
    found = [
        [row.tolist() for row, text in zip(ids, windows.text, strict=True) if text == at]
        for at in range(len(texts))
    ]
    assert found == expected
    assert windows.lengths.tolist() == [len(row) for row in ids]
    tokens = pa.table({columns.TOKEN_IDS: pa.array(whole, pa.list_(pa.int32()))})
    assert tokens_to_compute(tokens, cut) == sum(len(row) for row in ids)
    assert tokens_to_compute(tokens, None) == sum(map(len, whole))


@given(cut=cuts(), lengths=st.lists(st.integers(1, MOST), min_size=1, max_size=5), data=st.data())
def test_answers_are_joined_in_any_order_and_a_single_window_keeps_its_very_answer(
    cut: WindowCut, lengths: list[int], data: st.DataObject
) -> None:
    special = cut.before + cut.after
    texts = [[at] * (length + special) for at, length in enumerate(lengths)]
    windows = windows_of(texts, cut)
    answers = np.random.default_rng(0).normal(size=(len(windows.text), 3)).astype(np.float32)
    joined = windows.joined(3)
    order = data.draw(st.permutations(range(len(windows.text))))
    for start in range(0, len(order), 4):
        batch = np.array(order[start : start + 4])
        joined.add(batch, answers[batch])
    found = joined.result()
    for at in range(len(texts)):
        mine = answers[windows.text == at]
        weights = windows.lengths[windows.text == at]
        wanted = mine.max(0) if cut.join == "max" else np.average(mine.astype(float), axis=0, weights=weights)
        np.testing.assert_allclose(found[at], wanted, rtol=1e-5, atol=1e-6)
        if len(mine) == 1:
            assert np.array_equal(found[at], mine[0])


def test_an_answer_that_is_not_finite_stays_so() -> None:
    cuts = [WindowCut(4, 0, 1, 1, False, join) for join in ("mean", "max")]
    for cut in cuts:
        joined = windows_of([[1] * 9], cut).joined(2)
        joined.add(np.arange(4), np.array([[1, np.nan], [2, 2], [np.inf, 2], [-np.inf, 2]], np.float32))
        assert not np.isfinite(joined.result()).all()


def fast(tokenizer: Tokenizer) -> Any:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def test_special_tokens_are_found_on_both_sides() -> None:
    made = WindowCut(20, 3, 2, 1, True, "max")
    words = dict.fromkeys(varied_text(40).split(), 0)
    tokenizer = tokenizer_of(made)
    tokenizer.model = models.WordLevel({**VOCABULARY, **{w: MOST + 3 + n for n, w in enumerate(words)}}, "0")
    loaded = fast(tokenizer)
    loaded.truncation_side = "left"
    settings = ModelSettings(name="m", long_texts="windows", window_stride=3, window_join="max")
    assert window_cut(settings, loaded, 20) == made
    assert window_cut(ModelSettings(name="m"), loaded, 20) is None


def test_a_tokenizer_in_python_is_cut_by_its_whole_texts(tmp_path: Any) -> None:
    words = sorted(set(varied_text(40).split()))
    (tmp_path / "vocab.txt").write_text("\n".join(["<cls>", "<pad>", "<eos>", "<unk>", "<mask>", *words]))
    tokenizer = EsmTokenizer(str(tmp_path / "vocab.txt"))
    assert not tokenizer.is_fast
    cut = window_cut(ModelSettings(name="m", long_texts="windows"), tokenizer, 10)
    assert cut == WindowCut(10, 2, 1, 1, False, "mean")


def test_a_tokenizer_whose_windows_are_not_alike_is_refused() -> None:
    class Counting(PreTrainedTokenizerFast):  # type: ignore[misc] # transformers has no types
        """Ends a text by the number of its tokens."""

        def __call__(self, text: str, **options: Any) -> Any:
            found = super().__call__(text, **options)
            if not options.get("return_overflowing_tokens") and options.get("add_special_tokens", True):
                found["input_ids"] = [*found["input_ids"], len(found["input_ids"])]
            return found

    tokenizer = Counting(tokenizer_object=tokenizer_of(WindowCut(9, 0, 0, 0, False, "mean")))
    with pytest.raises(CheckpointError, match=r"model\.long_texts: Counting of 'm' .*; allowed is truncate"):
        window_cut(ModelSettings(name="m", long_texts="windows"), tokenizer, 9)
