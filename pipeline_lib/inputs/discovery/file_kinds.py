"""The kind of a file, by its name: a shard, a companion of shards, or data that must not be missed."""

from typing import Literal

from pipeline_lib.inputs.shards import is_shard

Kind = Literal["shard", "companion", "data", "unknown"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Files that often accompany data: skipped without a notice.
_COMPANIONS = _names("dataset_info.json dataset_infos.json thumbs.db")
_COMPANION_STEMS = _names(
    "authors changelog checksum checksums citation copying licence license makefile md5sum md5sums notice readme "
    "sha1sum sha1sums sha256sum sha256sums sha512sum sha512sums"
)
_COMPANION_ENDINGS = _names(
    "asc cfg crc css gif htm html ini ipynb jpeg jpg js md md5 pdf png py r rst sh sha1 sha256 sha512 sig sql svg "
    "toml yaml yml"
)

# Data in formats that this program does not read: an error, so that its rows are not missed.
_DATA_ENDINGS = _names(
    "arrow avro csv db dta duckdb feather h5 hdf5 ipc json npy npz ods orc parq parquet pickle pkl pq "
    "psv rds sas7bdat sav sqlite sqlite3 tar tfrecord tfrecords tsv xls xlsx"
)
_PACKED_ENDINGS = _names("7z br bz2 gz gzip lz4 lzma lzo rar snappy sz tbz2 tgz txz xz z zip zst zstd")


def file_kind(path: str) -> Kind:
    """Return the kind of a file by its name; upper and lower case are the same.

    =========  ==============================================================  ===================================
    kind       which                                                           what becomes of it
    =========  ==============================================================  ===================================
    shard      one of `FORMATS`                                                is read
    companion  README, LICENSE, checksums, documents, pictures, programs       is passed over
    data       json, orc, avro, arrow ...; packed, as .csv.xz and       is an error that names it
               .zip are; and names without an ending
    unknown    anything else, as .txt, .log, .tmp and .bak                     is passed over, and a note names it
    =========  ==============================================================  ===================================
    """
    name = path.rstrip("/").rpartition("/")[2].lower()
    stem, _, ending = name.rpartition(".")
    if is_shard(name):
        return "shard"
    if name in _COMPANIONS or ending in _COMPANION_ENDINGS:
        return "companion"
    if ending in _DATA_ENDINGS or ending in _PACKED_ENDINGS:
        return "data"
    if name.partition(".")[0] in _COMPANION_STEMS:
        return "companion"
    return "unknown" if stem else "data"
