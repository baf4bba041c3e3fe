"""Another computer as a device: its address, the command and the ensemble's folder there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from .. import AppError

COMMAND: Final = "bayes-nnunet"
WRONG_ADDRESS: Final = (
    "{address!r} is not the address of a computer. Use one like ssh://server, or "
    "ssh://user@server:22."
)
OPTIONS: Final = {
    "BatchMode": "yes",  # nobody sees a question of ssh
    "ConnectTimeout": "10",
    "ServerAliveInterval": "3",  # of a network that falls silent the user hears after 12 s
    "ServerAliveCountMax": "4",
    "RemoteCommand": "none",  # of ~/.ssh/config, which ssh refuses beside ours
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",  # the user's keys are not for the other computer
}


@dataclass(frozen=True, kw_only=True)
class RemoteDevice:
    """Computer that ssh reaches; its text is the name of a device, as "cuda:0" is.

    ``address`` is ssh://[USER@]HOST[:PORT], ``command`` starts this package there, "" for
    bayes-nnunet. ``folder`` is the ensemble there, "" if it has the same path as here, is built in,
    or is to be sent.
    """

    address: str = field(
        metadata={
            "label": "Address",
            "example": "ssh://user@server",
            "help": "Address of the computer, ssh://[USER@]HOST[:PORT]. It must let you in by ssh "
            "without asking for a password.",
        }
    )
    command: str = field(
        default="",
        metadata={
            "label": "Command",
            "example": COMMAND,
            "help": "Command that starts bayes-nnunet on the other computer, if it is not on the "
            "PATH there, such as ~/venv/bin/bayes-nnunet.",
        },
    )
    folder: str = field(
        default="",
        metadata={
            "label": "Path there",
            "example": "Send the ensemble once",
            "help": "Folder of the ensemble on the other computer, if it is there under another "
            "path than here. Otherwise it is sent, once.",
        },
    )

    def __str__(self) -> str:
        more = {name: text for name, text in asdict(self).items() if text and name != "address"}
        return f"{self.address}?{urlencode(more)}" if more else self.address

    @classmethod
    def parse(cls, name: str) -> RemoteDevice:
        """Return the device with this name."""
        address, _, query = name.partition("?")
        known = {name: text for name, text in parse_qsl(query) if name in ("command", "folder")}
        return cls(address=address, **known)

    @property
    def serve_command(self) -> list[str]:
        """The command that starts the other computer's child. Raises AppError without a host."""
        try:
            parts = urlsplit(self.address)
            host, port = parts.hostname, parts.port
        except ValueError:  # a port that is not a number
            host, port = None, None
        if not host or parts.scheme != "ssh" or parts.path.strip("/"):
            raise AppError(WRONG_ADDRESS, address=self.address)
        user, _, place = parts.netloc.rpartition("@")
        # Not the host of urlsplit, because ~/.ssh/config tells upper case from lower.
        host = place.removesuffix(f":{port}").strip("[]")
        options = [word for name, value in OPTIONS.items() for word in ("-o", f"{name}={value}")]
        return [
            *("ssh", "-T", "-C", *options),
            *(("-p", str(port)) if port else ()),
            *(("-l", user) if user else ()),
            *("--", host, f"{self.command or COMMAND} serve"),
        ]


def is_remote(device: str) -> bool:
    """Return whether the name of a device is the address of another computer."""
    return "://" in device
