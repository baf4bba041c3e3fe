"""Another computer as a device: where its Dask scheduler is, and what it needs to be asked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from urllib.parse import parse_qsl, urlencode


@dataclass(frozen=True, kw_only=True)
class RemoteDevice:
    """A Dask cluster. Its text is the name of a device, as "cuda:0" is.

    ``address`` is that of the scheduler, "tls://server:8786"; ``certificates`` a folder of this
    computer with ca.pem, cert.pem and key.pem; ``folder`` where the other computer has the
    ensemble, "" for the same path as here.
    """

    address: str = field(
        metadata={
            "label": "Address",
            "example": "tls://server:8786",
            "help": "Where the scheduler on the other computer listens. tls:// is encrypted, and "
            "only certificate holders can connect. tcp:// is unencrypted: anyone on the network "
            "can read the data and run code on both computers; use it where nobody else is.",
        }
    )
    certificates: str = field(
        default="",
        metadata={
            "label": "Keys",
            "folder": True,
            "example": "Folder of certificates",
            "help": "Folder with the ca.pem, cert.pem and key.pem you received from the other "
            "computer's administrator.",
        },
    )
    folder: str = field(
        default="",
        metadata={
            "label": "Path there",
            "example": "The same folder as here",
            "help": "Where the other computer has the chosen ensemble, if not in a folder of the "
            "same name as here. The demo ensemble is found by itself.",
        },
    )

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
