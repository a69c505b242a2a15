"""How files are locked: by the system, or by files that stand in for locks where a file system has none."""

from __future__ import annotations

import errno
import os
import uuid
import warnings
from contextlib import suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def lock_type(folder: Path) -> type[BaseFileLock]:
    """The locks that work in a folder: FileLock, or SoftFileLock where the file system has none. Found by trying one.

    Raises OSError if the system refuses them. On a full disk nothing can be tried; what lies there can still be read.
    """
    probe = FileLock(folder / f"probe-{uuid.uuid4().hex}.lock")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # filelock warns that it changes the lock's type; older versions refuse
            with probe.acquire(timeout=0):
                return SoftFileLock if isinstance(probe, SoftFileLock) else FileLock
    except NotImplementedError:
        return SoftFileLock
    except Timeout:  # nobody else knows this file: filelock takes the refusal for another's lock
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return SoftFileLock
        if error.errno in _FULL:
            return FileLock
        raise
    finally:
        with suppress(OSError):
            os.unlink(probe.lock_file)
