"""Settings of several models of every bad kind, and the error that each gets."""

from tests.bad_inputs.job_folder import SECTIONS, Case, settings_file

_MODELS = SECTIONS.replace("model: {name: MODEL}", "models: [{as: tone, name: MODEL}, {as: topic, name: MODEL}]")

MODEL_SETS = (
    Case(
        "a model and several",
        settings_file(_MODELS + "model: {name: MODEL}\n"),
        r"job\.yaml: model and models are both there; a file has one of them",
    ),
    Case(
        "no model at all",
        settings_file(SECTIONS.partition("\n")[2]),
        r"'model' is required, or 'models' for several",
    ),
    Case(
        "two models of one name",
        settings_file(_MODELS.replace("topic", "Tone")),
        r"models: two models are named 'Tone' and 'tone'",
    ),
    Case(
        "a model whose name is no folder",
        settings_file(_MODELS.replace("topic", "../topic")),
        r"models\.1\.as: String should match pattern",
    ),
    Case(
        "a model without a name", settings_file(_MODELS.replace("as: topic, ", "")), r"'models\.1\.as' is required"
    ),
    Case(
        "a name for the only model",
        settings_file(SECTIONS.replace("{name", "{as: tone, name")),
        r"unknown setting 'model\.as'; it is the name of one of several models",
    ),
    Case(
        "models that are no list",
        settings_file(
            _MODELS.replace("[{as: tone, name: MODEL}, {as: topic, name: MODEL}]", "{tone: {name: MODEL}}")
        ),
        r"models: expected a list of entries such as \{as: sentiment, name: org/model\}",
    ),
    Case(
        "an unknown setting of one of several models",
        settings_file(_MODELS.replace("as: topic", "as: topic, precison: float16")),
        r"unknown setting 'models\.1\.precison'; did you mean 'models\.1\.precision'\?",
    ),
    Case(
        "truth that is of none of several models",
        settings_file(_MODELS.replace("JOB/in}", "JOB/in, truth_column: id}")),
        r"input\.truth_column is for one model; of several, name it with the one whose labels it has",
    ),
)
