"""Names of checkpoints that lead to none, and the error that each gets."""

from tests.bad_inputs.job_folder import Case, JobFolder, setting


def _empty_model(job: JobFolder) -> list[str]:
    (job.folder / "changed").mkdir()
    return ["--set", f"model.name={job.folder}/changed"]


MODEL_NAMES = (
    Case(
        "a folder that is not there",
        lambda job: ["--set", f"model.name={str(job.checkpoint)[:-1]}"],
        r"model\.name: no folder '.*'; did you mean '.*bert'\?",
    ),
    Case("a file for a folder", setting("model.name=JOB/job.yaml"), r"model\.name: .*job\.yaml"),
    Case("an empty folder", _empty_model, r"model\.name: '.*changed' holds no config\.json \(found none\)"),
    Case(
        "a hub id, without the hub",
        setting("model.name=nobody/nothing"),
        r"model\.name: 'nobody/nothing' is no folder here, is not in the cache, and the hub can't be reached",
    ),
    Case(
        "a name that is no hub id",
        setting('model.name="a model!"'),
        r"model\.name: 'a model!' is neither a folder nor a hub id such as 'org/model'",
    ),
    Case(
        "a URL of an unknown kind",
        setting("model.name=s4://bucket/model"),
        r"'s4://bucket/model': can't open this kind of URL",
    ),
    Case("a URL of a folder that is not there", setting("model.name=file://JOB/gone"), r"'file://.*/gone'"),
)
