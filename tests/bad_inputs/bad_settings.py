"""Settings of every bad kind, and the error that each gets."""

import pyarrow as pa

from tests.bad_inputs.job_folder import (
    PNG,
    SECTIONS,
    Case,
    JobFolder,
    arguments,
    setting,
    settings_file,
    shard,
)


def _nothing(_: JobFolder) -> list[str]:
    return []


SETTINGS = (
    Case(
        "no such file", _nothing, r"no settings file '.*jbo\.yaml'; did you mean '.*job\.yaml'\?", config="jbo.yaml"
    ),
    Case("a folder for a file", _nothing, r"can't read the settings file '.*/in'", config="in"),
    Case(
        "an empty file",
        settings_file(""),
        r"job\.yaml: expected sections such as 'model:' and 'input:', found None",
    ),
    Case("a file of bytes", settings_file(PNG), r"can't read the settings file '.*job\.yaml'"),
    Case("no YAML", settings_file("model: [\n"), r"job\.yaml: not valid YAML"),
    Case("a tab for indentation", settings_file("model:\n\tname: x\n"), r"job\.yaml: not valid YAML"),
    Case("two documents", settings_file("a: 1\n---\nb: 2\n"), r"job\.yaml: not valid YAML"),
    Case(
        "a list for sections",
        settings_file("- model\n- input\n"),
        r"job\.yaml: expected sections such as 'model:' and 'input:', found \[",
    ),
    Case(
        "a key set twice",
        settings_file(SECTIONS + "output: {path: JOB/other}\n"),
        r"job\.yaml: not valid YAML: 'output' is set twice",
    ),
    Case(
        "a tag that would run code",
        settings_file(SECTIONS + "x: !!python/object/apply:os.system ['touch JOB/ran']\n"),
        r"job\.yaml: not valid YAML: could not determine a constructor for the tag",
    ),
    Case(
        "a day that no month has",
        settings_file(SECTIONS.replace("JOB/out", "2026-02-30")),
        r"job\.yaml: not valid YAML: .*day",
    ),
    Case("brackets without end", settings_file("[" * 5000), r"job\.yaml: not valid YAML"),
    Case(
        "a thing that holds itself",
        settings_file(SECTIONS + "limits: &a {min_rows: *a}\n"),
        r"job\.yaml: not valid YAML: an alias holds itself",
    ),
    Case(
        "aliases of aliases, a billion",
        settings_file("".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 10)}]\n" for n in range(9))),
        r"job\.yaml: not valid YAML: more than 10,000 values",
    ),
    Case(
        "--set of aliases of aliases",
        setting(
            "input.path=[&a [x,x,x,x,x,x,x,x,x,x], &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a], "
            "&c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b], &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]]"
        ),
        r"--set '.*': not a YAML value: more than 10,000 values",
    ),
    Case(
        "a word for a list",
        setting("input.keep_columns=id"),
        r"input\.keep_columns: Input should be a valid list, such as \[id\] \(found 'id'\)",
    ),
    Case(
        "int8 by PyTorch",
        setting("model.precision=int8", "model.calibration=JOB/in", "model.engine=torch"),
        r"model: precision: int8 is computed by OpenVINO, and engine is torch; allowed is auto",
    ),
    Case(
        "int8 without texts to calibrate on",
        setting("model.precision=int8"),
        r"model: precision: int8 needs calibration, a path of texts such as those that are scored",
    ),
    Case(
        "texts to calibrate on and no int8",
        setting("model.calibration=JOB/in"),
        r"model: calibration is for precision: int8, and precision is float32",
    ),
    Case(
        "int8 without limits",
        setting("model.precision=int8", "model.calibration=JOB/in"),
        r"model\.precision: int8 is published only within limits\.max_precision_drift, which is not set",
    ),
    Case(
        "a key of another program",
        setting("tuning.device=cuda"),
        r"unknown setting 'tuning\.device'; did you mean 'tuning\.gpus_per_model_actor'\?",
    ),
    Case(
        "a key like no other",
        setting("tuning.colour=red"),
        r"unknown setting 'tuning\.colour' \(known: 'tuning\.rows_per_slice'",
    ),
    Case(
        "another day's input",
        arguments("--date", "2026-11-22", "--set", "input.path=JOB/{date}"),
        r"the input of 2026-11-22 is not there yet: input\.path: no such file or folder: '.*/2026-11-22'",
        exit_code=5,
    ),
    Case("a number for a key", settings_file(SECTIONS + "1: 2\n"), r"job\.yaml: .*1"),
    Case("nothing in a section", settings_file(SECTIONS + "limits:\n"), r"job\.yaml: limits: Input should be"),
    Case(
        "no section that is required",
        settings_file("model: {name: MODEL}\ninput: {path: JOB/in}\n"),
        r"job\.yaml: 'output' is required",
    ),
    Case(
        "no setting that is required",
        settings_file(SECTIONS.replace("path: JOB/in", "")),
        r"job\.yaml: 'input\.path' is required",
    ),
    Case("an unknown section", setting("modle.name=x"), r"unknown setting 'modle'; did you mean 'model"),
    Case(
        "an unknown key",
        setting("output.logit=true"),
        r"unknown setting 'output\.logit'; did you mean 'output\.logits'\?",
    ),
    Case(
        "a key in the wrong section",
        setting("input.logits=true"),
        r"unknown setting 'input\.logits'; did you mean '(output\.)?logits'",
    ),
    Case(
        "a word for a number",
        setting("limits.min_rows=many"),
        r"limits\.min_rows: Input should be a valid integer \(found 'many'\)",
    ),
    Case(
        "a word for yes or no",
        setting("output.logits=maybe"),
        r"output\.logits: Input should be a valid boolean \(found 'maybe'\)",
    ),
    Case(
        "no row in a file",
        setting("output.rows_per_file=0"),
        r"output\.rows_per_file: Input should be greater than or equal to 1 \(found 0\)",
    ),
    Case(
        "a fraction for an integer",
        setting("tuning.rows_per_slice=1.5"),
        r"tuning\.rows_per_slice: Input should be a valid integer",
    ),
    Case(
        "a number for a name",
        setting("input.text_column=7"),
        r"input\.text_column: Input should be a valid string \(found 7\)",
    ),
    Case(
        "an embedding of no token",
        setting("output.embedding=cls"),
        r"output\.embedding: Input should be 'none', 'first', 'mean' or 'last' \(found 'cls'\)",
    ),
    Case(
        "a stride without windows",
        setting("model.window_stride=8"),
        r"model: window_stride is for long_texts: windows, and long_texts is truncate",
    ),
    Case(
        "a way to join without windows",
        setting("model.window_join=max"),
        r"model: window_join is for long_texts: windows, and long_texts is truncate",
    ),
    Case(
        "windows without a count",
        setting("model.long_texts=windows", "model.count_tokens=limit"),
        r"model: count_tokens: limit is for long_texts: truncate, and long_texts is windows",
    ),
    Case(
        "windows of pairs",
        setting("model.long_texts=windows", "input.text_pair_column=id"),
        r"model\.long_texts: windows are for single texts, and input\.text_pair_column names a second one",
    ),
    Case(
        "a stride as long as a window",
        setting("model.long_texts=windows", "model.window_stride=62"),
        r"model\.window_stride: 62 tokens can't be shared by windows with 62 tokens of a text; allowed is 61",
    ),
    Case(
        "a word that is no choice",
        setting("model.precision=float8"),
        r"model\.precision: Input should be 'float32'",
    ),
    Case(
        "a share above one",
        setting("limits.max_reject_rate=2"),
        r"limits\.max_reject_rate: Input should be less than or equal to 1 \(found 2\)",
    ),
    Case(
        "a share that is no number",
        setting("limits.max_reject_rate=.nan"),
        r"limits\.max_reject_rate: Input should be .*\(found nan\)",
    ),
    Case(
        "no rows in a slice",
        setting("tuning.rows_per_slice=0"),
        r"tuning\.rows_per_slice: Input should be greater than or equal to 1",
    ),
    Case(
        "partition columns that are no list",
        setting("input.partition_columns=ds"),
        r"input\.partition_columns: expected all, or a list of names such as \[ds\] \(found 'ds'\)",
    ),
    Case(
        "a checkpoint's URL with a token",
        setting("model.name=https://zqsecret@huggingface.co/me/model"),
        r"model\.name: 'https://\.\.\.@huggingface\.co/me/model' has a password, token or signature in it",
    ),
    Case(
        "an output's URL with a password",
        setting("output.path=s3://me:zqsecret@bucket/out"),
        r"output\.path: 's3://\.\.\.@bucket/out' has a password, token or signature in it",
    ),
    Case("an empty path", setting('input.path=""'), r"input\.path: an empty path"),
    Case("an empty list of paths", setting("input.path=[]"), r"input\.path: an empty path"),
    Case("a value for a section", setting("model=x"), r"model: Input should be a valid dictionary"),
    Case("--set without =", setting("output.logits"), r"--set 'output\.logits': expected key=value"),
    Case("--set below a setting", setting("input.path.x=1"), r"--set 'input\.path\.x=1': 'path' is not a section"),
    Case("--set of no YAML", setting("input.path=["), r"--set 'input\.path=\[': not a YAML value"),
    Case(
        "--set of a day that no month has",
        setting("output.path=2026-13-01"),
        r"--set 'output\.path=2026-13-01': not a YAML value: month must be",
    ),
    Case(
        "{date} without --date",
        setting("output.path=JOB/{date}"),
        r"the paths contain \{date\}; give the day with --date",
    ),
    Case(
        "--date without {date}",
        arguments("--date", "2026-11-22"),
        r"--date was given, but neither input\.path nor output\.path contains \{date\}",
    ),
    Case("--date that is none", arguments("--date", "yesterday"), r"--date 'yesterday': expected YYYY-MM-DD"),
    Case("an unknown encoding", setting("input.csv.encoding=utf-99"), r"input\.csv\.encoding: no such encoding"),
    Case(
        "an encoding whose lines can't be found",
        setting("input.csv.encoding=utf-16"),
        r"input\.csv\.encoding: its line ends are not single bytes",
    ),
    Case(
        "an encoding of mainframes",
        setting("input.csv.encoding=cp273"),
        r"input\.csv\.encoding: its line ends are not single bytes",
    ),
    Case(
        "an encoding with shifts",
        setting("input.csv.encoding=iso2022-jp"),
        r"input\.csv\.encoding: its line ends are not single bytes",
    ),
    Case(
        "an encoding that is none of text",
        setting("input.csv.encoding=base64"),
        r"input\.csv\.encoding: no such encoding",
    ),
    Case(
        "a delimiter of two characters",
        setting('input.csv.delimiter="||"'),
        r"input\.csv\.delimiter: String should have at most 1 character",
    ),
    Case("a quote as delimiter", setting("input.csv.delimiter='\"'"), r"input\.csv\.delimiter: .*quote"),
    Case("a line end as delimiter", setting('input.csv.delimiter="\\n"'), r"input\.csv\.delimiter: .*line end"),
    Case(
        "an unknown column type",
        setting("input.csv.column_types={id: int}"),
        r"input\.csv\.column_types\.id: Input should be 'string', 'int64'",
    ),
    Case(
        "the type of no column",
        lambda job: [
            *shard("bad.csv", b"id,text\n1,a\n")(job),
            *setting("input.csv.column_types={idd: int64}")(job),
        ],
        r"input\.csv\.column_types: .*bad\.csv' has no column 'idd'; did you mean 'id'\?",
    ),
    Case(
        "a truth column that is not there",
        setting("input.truth_column=idd"),
        r"input\.truth_column: .*good\.parquet' has no column 'idd'; did you mean 'id'\?",
    ),
    Case(
        "a truth that is no label",
        arguments("--set", "input.truth_column=id", "--set", "input.truth_labels={1: GOOD}"),
        r"input\.truth_labels: the truth of '1' is to be 'GOOD', which is no label of the model",
    ),
    Case(
        "a mapping of truth without its column",
        setting("input.truth_labels={1: GOOD}"),
        r"input: truth_labels needs truth_column",
    ),
    Case(
        "a night to compare with, and no nights",
        setting("limits.reference_date=2026-11-01"),
        r"limits\.reference_date is a night, but output\.path has no \{date\} in it",
    ),
    Case(
        "a kept column that is not there",
        setting("input.keep_columns=[idd]"),
        r"input\.keep_columns: .*good\.parquet' has no column 'idd'; did you mean 'id'\?",
    ),
    Case(
        "a kept column twice",
        setting("input.keep_columns=[id, id]"),
        r"two kept columns would be named 'id'.*input\.keep_columns",
    ),
    Case(
        "a second text that is the first",
        setting("input.text_pair_column=text"),
        r"input\.text_pair_column is the same column as input\.text_column",
    ),
    Case(
        "a second text that is not there",
        setting("input.text_pair_column=pair"),
        r"input\.text_pair_column: .*good\.parquet' has no column 'pair'",
    ),
    Case(
        "no room beside the special tokens",
        setting("model.max_tokens=2"),
        r"model\.max_tokens: 2 leaves no room for text beside 2 special tokens; allowed is 3 or more",
    ),
    Case(
        "fewer rows than allowed",
        setting("limits.min_rows=3"),
        r"the input has 2 rows, limits\.min_rows is 3; nothing is published",
        exit_code=3,
    ),
    Case(
        "more rejects than allowed",
        shard("bad.parquet", pa.table({"id": ["3"], "text": pa.nulls(1, pa.string())})),
        r"1 of 3 rows were rejected \(33\.333%\), limits\.max_reject_rate is 5\.000%; nothing is published",
        exit_code=3,
        on_ray=True,
    ),
    Case(
        "more actors than fit",
        setting("tuning.model_actors=1000"),
        r"tuning: 1,000 model actors need 1000 CPUs",
        on_ray=True,
    ),
    Case(
        "GPUs that are not there",
        setting("tuning.gpus_per_model_actor=64"),
        r"tuning: 1 model actor.* needs? .*64 GPUs; there are",
        on_ray=True,
    ),
)
