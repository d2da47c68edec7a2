"""The parts of messages, in files beside Flower's database.

Flower keeps them in the database: 5 MB of weights go through its log page by page, twice, and each
part takes twenty statements. Here a part is a file of its name, and how the parts of a message hang
together is a small file more. Both are there before the database tells of the message, and are read
again after a restart; a file that is not what its name says is thrown away, and asked for anew.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_object_id
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.object_store.in_memory_object_store import InMemoryObjectStore
from google.protobuf.message import DecodeError

from common.files import replacing
from common.flower_source import changed

_LOADER = "flwr.superlink.config_loader"
READ = {
    "flwr.supercore.object_store.in_memory_object_store:InMemoryObjectStore": "f0690484616d",
    "flwr.supercore.object_store:ObjectStoreFactory": "873774756239",
    f"{_LOADER}:get_objectstore_linkstate_factories": "9f697d33f493",
}
"""What is built upon, and the hash of the source of each as it was read."""

TREE = ".tree"
_RUN_BYTES = 8


def keep_parts(folder: Path) -> bool:
    """Let the SuperLink that this process becomes keep parts in a folder; say if this was done.

    It is not done to another Flower than the one whose source was read.
    """
    if changed(READ):
        return False

    def factory(database: str) -> ObjectStoreFactory:
        made = ObjectStoreFactory(database)
        made.store_instance = PartsInFiles(folder)
        return made

    loader: Any = importlib.import_module(_LOADER)
    loader.ObjectStoreFactory = factory
    return True


class PartsInFiles(InMemoryObjectStore):
    """Flower's store of parts, with their bytes in files, and all of it there after a restart."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self._read_again()

    def preregister(self, run_id: int, object_tree: ObjectTree) -> list[str]:
        """Note the parts of a message; give those that are missing."""
        with self.lock_store:
            missing = super().preregister(run_id, object_tree)
            file = self._folder / (object_tree.object_id + TREE)
            if not file.exists():
                run = run_id.to_bytes(_RUN_BYTES, "big")
                _write(file, run + object_tree.SerializeToString())
        return missing

    def put(self, object_id: str, object_content: bytes) -> None:
        """Take a part that was noted.

        Raises
        ------
        ValueError
            It is not what its name says.
        NoObjectInStoreError
            It was not noted.
        """
        super().put(object_id, object_content)
        with self.lock_store:
            entry = self.store.get(object_id)
            if entry is not None and entry.content:
                _write(self._folder / object_id, entry.content)
                entry.content = b""

    def get(self, object_id: str) -> bytes | None:
        """Give a part; None if it was not noted, nothing if it is not there yet."""
        with self.lock_store:
            entry = self.store.get(object_id)
            if entry is None:
                return None
            if entry.content or not entry.is_available:
                return entry.content
            return (self._folder / object_id).read_bytes()

    def delete(self, object_id: str) -> None:
        """Forget a part that no other needs, and what only it needed."""
        with self.lock_store:
            # Who confirms a message names it: a name that was not noted may be any path.
            noted = object_id in self.store
            super().delete(object_id)
            if noted and object_id not in self.store:
                for name in (object_id, object_id + TREE):
                    (self._folder / name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget all."""
        with self.lock_store:
            super().clear()
            for file in self._folder.iterdir():
                file.unlink()

    def _read_again(self) -> None:
        for file in self._folder.glob(f"*{TREE}"):
            content = file.read_bytes()
            try:
                tree = ObjectTree.FromString(content[_RUN_BYTES:])
                super().preregister(int.from_bytes(content[:_RUN_BYTES], "big"), tree)
            except (DecodeError, ValueError, KeyError):
                file.unlink()
        for file in self._folder.iterdir():
            if file.suffix == TREE:
                continue
            entry = self.store.get(file.name)
            if entry is not None and get_object_id(file.read_bytes()) == file.name:
                entry.is_available = True
            else:
                file.unlink()


def _write(path: Path, content: bytes) -> None:
    # Whole or not at all: the SuperLink may be killed at any moment, and the disk be full.
    with replacing(path) as part:
        part.write_bytes(content)
