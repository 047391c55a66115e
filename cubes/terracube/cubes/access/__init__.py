"""Bytes of files wherever they lie: on this machine, behind http, or in an S3 store."""

from terracube.cubes.access.errors import NotThereError
from terracube.cubes.access.location import Location
from terracube.cubes.access.opening import ByteSource, check_href, forget, open_bytes, read_whole
from terracube.cubes.access.redact import redact, safe_name, strip_grant
from terracube.cubes.access.s3 import AnonymousS3, S3Keys
from terracube.cubes.access.signing import BearerToken, SasTokens, Signed, Signer, Signers
from terracube.cubes.access.transport import Retries, use_retries

__all__ = [
    "AnonymousS3",
    "BearerToken",
    "ByteSource",
    "Location",
    "NotThereError",
    "Retries",
    "S3Keys",
    "SasTokens",
    "Signed",
    "Signer",
    "Signers",
    "check_href",
    "forget",
    "open_bytes",
    "read_whole",
    "redact",
    "safe_name",
    "strip_grant",
    "use_retries",
]
