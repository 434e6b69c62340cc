"""Names of checkpoints that lead to none, and the error that each gets."""

from tests.bad_inputs.bad_home import Home, Kind, setting


def _empty_model(home: Home) -> list[str]:
    (home.folder / "changed").mkdir()
    return ["--set", f"model.name={home.folder}/changed"]


MODEL_NAMES = (
    Kind(
        "a folder that is not there",
        lambda home: ["--set", f"model.name={str(home.checkpoint)[:-1]}"],
        r"model\.name: no folder '.*'; did you mean '.*bert'\?",
    ),
    Kind("a file for a folder", setting("model.name=HOME/job.yaml"), r"model\.name: .*job\.yaml"),
    Kind("an empty folder", _empty_model, r"model\.name: '.*changed' holds no config\.json \(found none\)"),
    Kind(
        "a hub id, without the hub",
        setting("model.name=nobody/nothing"),
        r"model\.name: 'nobody/nothing' is no folder here, is not in the cache, and the hub can't be reached",
    ),
    Kind(
        "a name that is no hub id",
        setting('model.name="a model!"'),
        r"model\.name: 'a model!' is neither a folder nor a hub id such as 'org/model'",
    ),
    Kind(
        "a URL of an unknown kind",
        setting("model.name=s4://bucket/model"),
        r"'s4://bucket/model': can't open this kind of URL",
    ),
    Kind("a URL of a folder that is not there", setting("model.name=file://HOME/gone"), r"'file://.*/gone'"),
)
