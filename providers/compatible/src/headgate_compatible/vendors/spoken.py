"""Speech that stands at an address which comes back: the sound itself is fetched for OpenAI's clients, without the key."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ClassVar

from typing_extensions import override

from headgate.errors import ProviderError, ProviderFailed
from headgate.exchange import Exchange, Reply
from headgate.files import download
from headgate.operations import SPEECH
from headgate.provider import operation_of
from headgate.relay import retell
from headgate_compatible.provider import Compatible

Located = Callable[[bytes], object]
"""What a good answer has in the place of the address of its sound."""


class Spoken(Compatible):
    """A vendor whose speech is fetched. `sound_in` says where the address of it is in a good answer."""

    sound_in: ClassVar[Located]

    @override
    def call(self, ex: Exchange) -> Coroutine[Any, Any, Reply]:
        return self._spoken(ex) if operation_of(ex) == SPEECH.name else super().call(ex)

    async def _spoken(self, ex: Exchange) -> Reply:
        """What stands at the address that the vendor answers with. Raises ProviderError."""
        request = self.prepare(ex)
        reply = await retell(ex, self.engine_for(ex), request, self._origin, partial(Reply, 200))
        if reply.status != 200:
            return reply
        try:
            url = type(self).sound_in(reply.body)
            if not isinstance(url, str) or not url:
                raise ProviderFailed("the provider answered with no sound", code="upstream_bad_reply")
            return await download(self.upstream, request, [url])
        except ProviderError as error:
            error.blame(self._origin.provider, self._origin.deployment)
            raise
