"""Another computer as a device: where its Dask scheduler is, and what it needs to be asked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from urllib.parse import parse_qsl, urlencode


@dataclass(frozen=True, kw_only=True)
class RemoteDevice:
    """A Dask cluster. Its text is the name of a device, as "cuda:0" is.

    ``address`` is that of the scheduler, "tls://server:8786"; ``certificates`` a folder of this
    computer with ca.pem, cert.pem and key.pem; ``folder`` where the other computer has the
    ensemble, "" for the same path as here.
    """

    address: str
    certificates: str = ""
    folder: str = ""

    def __str__(self) -> str:
        more = {name: text for name, text in asdict(self).items() if text and name != "address"}
        return f"{self.address}?{urlencode(more)}" if more else self.address

    @classmethod
    def of(cls, name: str) -> RemoteDevice:
        """What the name of a device says."""
        address, _, more = name.partition("?")
        said = dict(parse_qsl(more))
        return cls(
            address=address,
            certificates=said.get("certificates", ""),
            folder=said.get("folder", ""),
        )


def is_remote(device: str) -> bool:
    """Whether the name of a device is the address of another computer."""
    return "://" in device
