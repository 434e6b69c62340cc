"""What the many exceptions of storage libraries mean to a user: mend it, or try again."""

import contextlib
import errno
import time
import traceback
from collections.abc import Callable, Container, Iterator
from typing import TypeVar

from pipeline_lib.errors import FaultError, InputError, NightscoreError, SettingsError, StorageFaultError
from pipeline_lib.storage import s3

_MISSING_OR_REFUSED = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError)
_LASTING_ERRNOS = (errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP)
_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
_LIBRARIES = {"botocore", "aiobotocore", "aiohttp", "fsspec", "s3fs"}

# S3's own codes: a token is renewed by whoever made it, a clock is set, while a bucket stays where it is.
_PASSING_CODES = {
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "TokenRefreshRequired",
}
_LASTING_CODES = {
    "301",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "InvalidBucketName",
    "InvalidAccessKeyId",
    "InvalidToken",
    "PermanentRedirect",
    "SignatureDoesNotMatch",
}
# What botocore says of a configuration that no second try mends; an unknown name here is a fault that may pass.
_LASTING_KINDS = {
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
# These were waited for three times already.
_SILENCE = {"ConnectTimeoutError", "ReadTimeoutError"}
_SECONDS_BEFORE_AGAIN = (1.0, 3.0, 9.0)

_T = TypeVar("_T")


@contextlib.contextmanager
def translated_errors(url: str, doing: str) -> Iterator[None]:
    """Turn the many exceptions of storage libraries into one that says where and what.

    Missing files, refused permissions and wrong settings are the user's to mend; everything else may pass.

    Raises:
        InputError: the user must mend it.
        SettingsError: likewise, in the configuration of the store's library.
        FaultError: it may pass.
    """
    try:
        yield
    except NightscoreError:
        raise
    except OSError as error:
        raise _kind_of(error)(f"{url!r}: {doing} failed: {_reason(error)}") from error
    except (ValueError, TypeError) as error:
        # Libraries say so of a wrong endpoint, bucket or pattern; from our own code it is a fault of ours.
        if not _raised_in(error, _LIBRARIES):
            raise
        advice = "; an endpoint is a URL such as http://host:9000 (AWS_ENDPOINT_URL)"
        hint = advice if "endpoint" in str(error).lower() else ""
        raise SettingsError(f"{url!r}: {doing} failed: {_reason(error)}{hint}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _LIBRARIES:
            raise
        name = type(error).__name__
        kind = FaultError if name in _SILENCE else StorageFaultError
        raise (SettingsError if name in _LASTING_KINDS else kind)(
            f"{url!r}: {doing} failed: {_reason(error)}"
        ) from error


def with_retries(work: Callable[[], _T]) -> _T:
    """Return what some work on a storage returns, trying again a few times where its fault may pass.

    The work must do no harm when it is done twice.

    Raises:
        NightscoreError: it still fails, or for a reason that stays.
    """
    for seconds in _SECONDS_BEFORE_AGAIN:
        try:
            return work()
        except StorageFaultError as error:
            if s3.error_code(error):
                s3.forget_credentials()
        time.sleep(seconds)
    return work()


def _kind_of(error: OSError) -> type[NightscoreError]:
    code = s3.error_code(error)
    if code in _PASSING_CODES:
        return StorageFaultError
    if code in _LASTING_CODES or isinstance(error, _MISSING_OR_REFUSED) or error.errno in _LASTING_ERRNOS:
        return InputError
    return FaultError if error.errno in _FULL_ERRNOS else StorageFaultError


def _raised_in(error: BaseException, packages: Container[str]) -> bool:
    """Tell whether an exception came out of a call into one of these packages."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__", "").partition(".")[0] in packages for frame, _ in frames)


def _reason(error: BaseException) -> str:
    code = s3.error_code(error)
    text = " ".join(str(error).split()) or type(error).__name__
    return text if not code or code in text or code.isdigit() else f"{text} ({code})"
