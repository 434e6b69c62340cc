"""Translation of the exceptions of storage libraries: either the user must act, or a retry may help."""

import contextlib
import errno
import time
import traceback
from collections.abc import Callable, Container, Iterator
from typing import TypeVar

from pipeline_lib.errors import FaultError, InputError, NightscoreError, SettingsError, StorageFaultError
from pipeline_lib.storage import s3

_MISSING_OR_REFUSED = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError)
_PERMANENT_ERRNOS = (errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP)
_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
_LIBRARIES = {"botocore", "aiobotocore", "aiohttp", "fsspec", "s3fs"}

# S3's own codes. Somebody renews the token or sets the clock meanwhile, but no retry moves a bucket.
_TRANSIENT_CODES = {
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "TokenRefreshRequired",
}
_PERMANENT_CODES = {
    "301",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "InvalidBucketName",
    "InvalidAccessKeyId",
    "InvalidToken",
    "PermanentRedirect",
    "SignatureDoesNotMatch",
}
# Exceptions of botocore for a wrong configuration; any other exception is retried.
_PERMANENT_KINDS = {
    "ConfigNotFound",
    "ConfigParseError",
    "InvalidConfigError",
    "InvalidEndpointConfigurationError",
    "InvalidRegionError",
    "InvalidS3AddressingStyleError",
    "NoCredentialsError",
    "NoRegionError",
    "ParamValidationError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "SSOTokenLoadError",
    "UnauthorizedSSOTokenError",
    "UnknownEndpointError",
}
# botocore has tried these three times already.
_TIMEOUT_KINDS = {"ConnectTimeoutError", "ReadTimeoutError"}
_SECONDS_BEFORE_RETRIES = (1.0, 3.0, 9.0)

_T = TypeVar("_T")


@contextlib.contextmanager
def translated_errors(url: str, doing: str) -> Iterator[None]:
    """Translate the exceptions of storage libraries into errors that say where and while doing what.

    The user must act on missing files, missing permissions and wrong settings; a retry may help against the rest.

    Raises:
        InputError: the user must act.
        SettingsError: the user must change the configuration of the store's library.
        FaultError: a retry may help.
    """
    try:
        yield
    except NightscoreError:
        raise
    except OSError as error:
        raise _kind_of(error)(f"{url!r}: {doing} failed: {_reason(error)}") from error
    except (ValueError, TypeError) as error:
        # Libraries raise these for a wrong endpoint, bucket or pattern; from our own code they are bugs.
        if not _raised_in(error, _LIBRARIES):
            raise
        advice = "; an endpoint is a URL such as http://host:9000 (AWS_ENDPOINT_URL)"
        hint = advice if "endpoint" in str(error).lower() else ""
        raise SettingsError(f"{url!r}: {doing} failed: {_reason(error)}{hint}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _LIBRARIES:
            raise
        name = type(error).__name__
        kind = FaultError if name in _TIMEOUT_KINDS else StorageFaultError
        raise (SettingsError if name in _PERMANENT_KINDS else kind)(
            f"{url!r}: {doing} failed: {_reason(error)}"
        ) from error


def with_retries(work: Callable[[], _T]) -> _T:
    """Return the result of some work on a storage, retried three times after faults that may be transient.

    Doing the work twice must have the effect of doing it once.

    Raises:
        NightscoreError: the fault is permanent, or the last retry failed too.
    """
    for seconds in _SECONDS_BEFORE_RETRIES:
        try:
            return work()
        except StorageFaultError as error:
            if s3.error_code(error):
                s3.forget_credentials()
        time.sleep(seconds)
    return work()


def _kind_of(error: OSError) -> type[NightscoreError]:
    code = s3.error_code(error)
    if code in _TRANSIENT_CODES:
        return StorageFaultError
    if code in _PERMANENT_CODES or isinstance(error, _MISSING_OR_REFUSED) or error.errno in _PERMANENT_ERRNOS:
        return InputError
    return FaultError if error.errno in _FULL_ERRNOS else StorageFaultError


def _raised_in(error: BaseException, packages: Container[str]) -> bool:
    """Return whether an exception was raised in one of these packages, or in what they called."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__", "").partition(".")[0] in packages for frame, _ in frames)


def _reason(error: BaseException) -> str:
    code = s3.error_code(error)
    text = " ".join(str(error).split()) or type(error).__name__
    return text if not code or code in text or code.isdigit() else f"{text} ({code})"
