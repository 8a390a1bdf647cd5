"""Connections to Redis that do not stay with a server that is no longer the master.

A server that was demoted keeps its connections, and answers each write with an error. After a managed failover the host
name leads to another server, but a pool would use the old connections for as long as they last. So such an answer
closes the connection and counts as a lost one: the next use connects again, to where the name or the Sentinels lead.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, TypeVar

from redis import exceptions

ConnectionT = TypeVar("ConnectionT")

_DEMOTED = re.compile(r"\b(READONLY|MASTERDOWN|NOREPLICAS|UNBLOCKED)\b")
"""In the answers of a replica, of one without its master, of a master that was cut off, and to a ``BRPOP`` that waited
when its server was demoted. Servers before Redis 7 put the word into the error of the script."""


def _is_of_replica(error: exceptions.RedisError) -> bool:
    # redis-py drops the first word of an answer that has an exception class of its own.
    return isinstance(error, exceptions.ReadOnlyError | exceptions.MasterDownError) or bool(_DEMOTED.search(str(error)))


class _Leaving:
    """Part of a connection class of redis-py."""

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Return a reply.

        Raises:
            ConnectionError: the server is not the master. The connection is closed.
        """
        try:
            return super().read_response(*arguments, **options)  # type: ignore[misc]  # of the class beside it
        except exceptions.ResponseError as error:
            if not _is_of_replica(error):
                raise
            self.disconnect()  # type: ignore[attr-defined]  # of the class beside it
            raise exceptions.ConnectionError(f"the server is not the master, or cannot write: {error}") from error


class _AsyncLeaving:
    """Part of a connection class of `redis.asyncio`."""

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Return a reply; see `_Leaving`."""
        try:
            return await super().read_response(*arguments, **options)  # type: ignore[misc]  # of the class beside it
        except exceptions.ResponseError as error:
            if not _is_of_replica(error):
                raise
            await self.disconnect()  # type: ignore[attr-defined]  # of the class beside it
            raise exceptions.ConnectionError(f"the server is not the master, or cannot write: {error}") from error


@cache
def leaving(kind: type[ConnectionT]) -> type[ConnectionT]:
    """Return a connection class of redis-py, with connections that are closed if the server is not the master."""
    return type(f"Leaving{kind.__name__}", (_Leaving, kind), {})


@cache
def async_leaving(kind: type[ConnectionT]) -> type[ConnectionT]:
    """`leaving` for a connection class of `redis.asyncio`."""
    return type(f"Leaving{kind.__name__}", (_AsyncLeaving, kind), {})
