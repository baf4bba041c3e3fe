"""Another computer as a device: its Dask scheduler, the certificates and the ensemble's folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from urllib.parse import parse_qsl, urlencode


@dataclass(frozen=True, kw_only=True)
class RemoteDevice:
    """Dask cluster, whose text is a device name like "cuda:0".

    ``address`` is that of the scheduler, "tls://server:8786". ``certificates`` is a folder on this
    computer with ca.pem, cert.pem and key.pem. ``folder`` is the ensemble on the other computer,
    "" for the same path as here.
    """

    address: str = field(
        metadata={
            "label": "Address",
            "example": "tls://server:8786",
            "help": "Address of the Dask scheduler. With tcp://, anyone on the network can read "
            "the data and run code on both computers. tls:// needs certificates.",
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
            "help": "Folder of the ensemble on the other computer, if its path differs from the "
            "one here. Not needed for the demo ensemble.",
        },
    )

    def __str__(self) -> str:
        more = {name: text for name, text in asdict(self).items() if text and name != "address"}
        return f"{self.address}?{urlencode(more)}" if more else self.address

    @classmethod
    def parse(cls, name: str) -> RemoteDevice:
        """Return the device with this name."""
        address, _, query = name.partition("?")
        values = dict(parse_qsl(query))
        return cls(
            address=address,
            certificates=values.get("certificates", ""),
            folder=values.get("folder", ""),
        )


def is_remote(device: str) -> bool:
    """Return whether the name of a device is the address of another computer."""
    return "://" in device
