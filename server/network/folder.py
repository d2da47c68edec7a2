"""The coordinator's folder: settings, certificates, admitted sites, runs, and Flower's database.

- `settings.toml`: names of this machine, port, address to listen on
- `ca.pem`, `server.pem`; `secrets/`: private keys and tokens, mode 0600
- `admitted/`: one join request a site; `withdrawn/`: keys that were replaced
- `runs/`: one folder a run; `state.db`: Flower's database; `parts/`: the parts of messages that are
  under way; `messages.log`: which are; `flwr/`: Flower's home; `logs/`
"""

from __future__ import annotations

import secrets
import tomllib
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import WrongUse
from common.files import replacing
from server.network.certificates import (
    check_host,
    make_authority,
    make_server_certificate,
    write_secret,
)

PORT, HEALTH_PORT = 9443, 9444
ANYWHERE = ("0.0.0.0", "::")
INIT = "Make one: myofed coordinator init FOLDER --host NAME"


class Settings(BaseModel):
    """How the coordinator is reached. `hosts` are the names that sites use, the first one first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: tuple[str, ...] = Field(min_length=1)
    port: int = Field(PORT, ge=1, le=65535)
    bind: str = "0.0.0.0"
    health_port: int = Field(HEALTH_PORT, ge=1, le=65535)

    def text(self) -> str:
        """Write the settings as TOML."""
        hosts = ", ".join(f'"{host}"' for host in self.hosts)
        return (
            "# How the coordinator is reached. After a change of hosts: myofed coordinator renew\n"
            f"hosts = [{hosts}]\n"
            f"port = {self.port}\n"
            f'bind = "{self.bind}"\n'
            "# gRPC health service, on this machine only\n"
            f"health_port = {self.health_port}\n"
        )


@dataclass(frozen=True)
class CoordinatorFolder:
    """Where everything of a coordinator lies."""

    path: Path
    settings: Settings

    @classmethod
    def create(cls, path: Path, settings: Settings) -> CoordinatorFolder:
        """Make a coordinator's folder with its keys and certificates.

        Raises
        ------
        WrongUse
            There is one already, or something else; nothing is ever overwritten.
        """
        folder = cls(path.resolve(), checked(settings))
        own = (folder.settings_file, folder.secrets, folder.authority, folder.admitted)
        if path.exists() and (not path.is_dir() or any(one.exists() for one in own)):
            raise WrongUse(
                f"{path} is or holds something already, which is never overwritten.",
                "Give another folder, or go on with this one: myofed coordinator doctor",
            )
        try:
            for one in (path, folder.secrets, folder.admitted, folder.withdrawn, folder.runs,
                        folder.logs, folder.flower_home):  # fmt: skip
                one.mkdir(parents=True, exist_ok=True)
                one.chmod(0o700)
            make_authority(folder.authority, folder.authority_key)
            folder.renew()
            write_secret(folder.token_file, secrets.token_hex(32).encode())
            write_secret(folder.superexec_secret, secrets.token_bytes(32))
            with replacing(folder.settings_file) as part:
                part.write_text(folder.settings.text(), encoding="utf-8")
        except OSError as error:
            raise WrongUse(
                f"{path} cannot be made or written ({error.strerror}).",
                "Give a folder that is yours, on a disk with room.",
            ) from None
        return folder

    @classmethod
    def open(cls, path: Path) -> CoordinatorFolder:
        """Open a coordinator's folder.

        Raises
        ------
        WrongUse
            It is none, its settings cannot be used, or others can read its secrets.
        """
        file = path / "settings.toml"
        if not file.is_file():
            raise WrongUse(f"{path} is not a coordinator's folder.", INIT)
        try:
            found = Settings.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise WrongUse(f"{file} cannot be read: {error}.", "Correct that line.") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise WrongUse(f"{file}: {where}: {first['msg']}.", "Correct that key.") from None
        folder = cls(path.resolve(), checked(found))
        for secret in (folder.authority_key, folder.server_key, folder.token_file,
                       folder.superexec_secret):  # fmt: skip
            if not secret.is_file():
                raise WrongUse(f"{secret} is missing.", "Restore the folder from a backup.")
            if secret.stat().st_mode & 0o077:
                raise WrongUse(
                    f"{secret} can be read by others than its owner.", f"chmod 600 {secret}"
                )
        return folder

    def renew(self) -> None:
        """Make a new server key and certificate for the names in the settings."""
        names = list(self.settings.hosts)
        if self.settings.bind not in ANYWHERE:
            names.append(self.settings.bind)
        make_server_certificate(
            self.authority, self.authority_key, self.certificate, self.server_key, names
        )

    def token(self) -> str:
        """Read the secret that opens the Control API."""
        return self.token_file.read_text(encoding="ascii").strip()

    @property
    def settings_file(self) -> Path:
        """Names, port and address to listen on."""
        return self.path / "settings.toml"

    @property
    def secrets(self) -> Path:
        """Folder of the private keys and tokens."""
        return self.path / "secrets"

    @property
    def authority(self) -> Path:
        """Certificate of the authority, which sites get."""
        return self.path / "ca.pem"

    @property
    def authority_key(self) -> Path:
        """Key of the authority."""
        return self.secrets / "ca.key"

    @property
    def certificate(self) -> Path:
        """Certificate of the server."""
        return self.path / "server.pem"

    @property
    def server_key(self) -> Path:
        """Key of the server."""
        return self.secrets / "server.key"

    @property
    def token_file(self) -> Path:
        """Secret that opens the Control API."""
        return self.secrets / "control.token"

    @property
    def superexec_secret(self) -> Path:
        """Secret by which the SuperExec shows that it may start a ServerApp."""
        return self.secrets / "superexec.secret"

    @property
    def admitted(self) -> Path:
        """Folder of the admitted sites' join requests."""
        return self.path / "admitted"

    @property
    def withdrawn(self) -> Path:
        """Folder of the keys that were replaced, and may not come back."""
        return self.path / "withdrawn"

    @property
    def runs(self) -> Path:
        """Folder of the runs."""
        return self.path / "runs"

    @property
    def database(self) -> Path:
        """Flower's database."""
        return self.path / "state.db"

    @property
    def parts(self) -> Path:
        """The parts of messages that are under way."""
        return self.path / "parts"

    @property
    def account(self) -> Path:
        """Account of the messages between runs and sites."""
        return self.path / "messages.log"

    @property
    def flower_home(self) -> Path:
        """Flower's home."""
        return self.path / "flwr"

    @property
    def logs(self) -> Path:
        """Folder of the logs."""
        return self.path / "logs"

    @property
    def address(self) -> str:
        """Where sites reach the coordinator: host:port."""
        return join(self.settings.hosts[0], self.settings.port)

    @property
    def local_host(self) -> str:
        """Where this machine itself reaches the coordinator."""
        bind = self.settings.bind
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)

    @property
    def local_address(self) -> str:
        """Where this machine itself reaches the coordinator: host:port."""
        return join(self.local_host, self.settings.port)

    @property
    def health_address(self) -> str:
        """Where the gRPC health service answers."""
        return f"127.0.0.1:{self.settings.health_port}"


def checked(settings: Settings) -> Settings:
    """Give the settings with every name as certificates hold it.

    Raises
    ------
    WrongUse
        A name, the address to listen on or the pair of ports cannot be used.
    """
    try:
        bind = str(ip_address(settings.bind))
    except ValueError:
        raise WrongUse(
            f"{settings.bind!r} is not an address to listen on.",
            "Give an address of this machine, or 0.0.0.0 for all of them.",
        ) from None
    if settings.port == settings.health_port:
        raise WrongUse(
            f"port and health_port are both {settings.port}.", "Give the two different numbers."
        )
    hosts = tuple(dict.fromkeys(check_host(host) for host in settings.hosts))
    return settings.model_copy(update={"hosts": hosts, "bind": bind})


def join(host: str, port: int) -> str:
    """Join host and port; an IPv6 address goes into brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
