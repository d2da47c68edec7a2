"""Parts of messages in files: as Flower's own store in its database, and still there later."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, RecordDict
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
)
from flwr.supercore.object_store import NoObjectInStoreError, ObjectStore
from flwr.supercore.object_store.sql_object_store import SqlObjectStore
from flwr.superlink import config_loader

from server.network import parts as module
from server.network.parts import TREE, PartsInFiles, keep_parts


class Sent:
    """A record as it is sent: its tree, and its parts by name."""

    def __init__(self, *texts: str) -> None:
        record = RecordDict({text: ConfigRecord({"text": text}) for text in texts})
        self.tree = get_object_tree(record)
        self.name = self.tree.object_id
        self.parts = {name: held.deflate() for name, held in get_all_nested_objects(record).items()}

    def into(self, store: ObjectStore, run: int = 7) -> Sent:
        for name in store.preregister(run, self.tree):
            store.put(name, self.parts[name])
        return self


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "parts"


def names(tree: ObjectTree) -> set[str]:
    return {one.object_id for one in iterate_object_tree(tree)}


def as_told(action: Callable[[], object]) -> object:
    """What a store answers, or how it refuses."""
    try:
        found = action()
    except (NoObjectInStoreError, ValueError) as error:
        return type(error)
    if isinstance(found, ObjectTree):
        return found.object_id, names(found)
    return sorted(found) if isinstance(found, list) else found


@pytest.mark.parametrize("seed", range(5))
def test_it_answers_as_the_store_in_the_database_does(folder: Path, seed: int) -> None:
    draw = random.Random(seed)
    ours, flowers = PartsInFiles(folder), SqlObjectStore(":memory:")
    flowers.initialize()
    sent = [Sent(*draw.sample("abcde", k=draw.randint(1, 3)), f"only {n}") for n in range(6)]
    every = {name: content for one in sent for name, content in one.parts.items()}

    def both(action: Callable[[ObjectStore], object]) -> None:
        assert as_told(lambda: action(ours)) == as_told(lambda: action(flowers))

    for step in range(200):
        one, run = draw.choice(sent), draw.randint(1, 3)
        name = draw.choice(list(every))
        actions: list[Callable[[ObjectStore], object]] = [
            lambda store, one=one, run=run: store.preregister(run, one.tree),  # type: ignore[misc]
            lambda store, name=name: store.put(name, every[name]),  # type: ignore[misc]
            lambda store, name=name: store.get(name),  # type: ignore[misc]
            lambda store, one=one: store.delete(one.name),  # type: ignore[misc]
            lambda store, one=one: store.get_object_tree(one.name),  # type: ignore[misc]
            lambda store, name=name: name in store,  # type: ignore[misc]
        ]
        both(draw.choices(actions, (4, 6, 3, 1, 2, 1))[0])
        both(len)
        if step % 20 == 19:
            ours = PartsInFiles(folder)  # the SuperLink was started anew
    for one in sent:
        both(lambda store, one=one: store.delete(one.name))  # type: ignore[misc]
    both(len)
    assert list(folder.iterdir()) == []


def test_after_a_restart_the_parts_are_there_and_the_missing_are_asked_for(folder: Path) -> None:
    store = PartsInFiles(folder)
    whole, begun = Sent("a", "b").into(store), Sent("b", "c")
    missing = store.preregister(8, begun.tree)
    again = PartsInFiles(folder)
    assert {name: again.get(name) for name in whole.parts} == whole.parts
    assert again.get_object_tree(whole.name) == whole.tree
    assert sorted(again.preregister(8, begun.tree)) == sorted(missing)
    assert [again.get(name) for name in missing] == [b""] * len(missing)
    again.delete_objects_in_run(7)
    assert [one.name in again for one in (whole, begun)] == [False, True]
    again.delete_objects_in_run(8)
    assert (len(again), list(folder.iterdir())) == (0, [])


def test_what_is_not_what_its_name_says_is_thrown_away(folder: Path) -> None:
    sent = Sent("a", "b").into(PartsInFiles(folder))
    name = next(name for name in sent.parts if name != sent.name)
    (folder / name).write_bytes(sent.parts[name][:-1])
    (folder / f"{'0' * 64}{TREE}").write_bytes(b"torn")
    (folder / f"{name}.new").write_bytes(b"half")
    store = PartsInFiles(folder)
    assert store.get(name) == b""
    assert store.preregister(7, sent.tree) == [name]
    store.put(name, sent.parts[name])
    assert store.get(name) == sent.parts[name]
    assert {one.name for one in folder.iterdir()} == {*sent.parts, sent.name + TREE}


def test_after_a_full_disk_the_same_message_can_be_sent_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, sent = PartsInFiles(folder), Sent("a")

    def full(*_: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as disk:
        disk.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="full"):
            store.preregister(7, sent.tree)
    missing = store.preregister(7, sent.tree)
    assert sorted(missing) == sorted(sent.parts)
    with monkeypatch.context() as disk:
        disk.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="full"):
            store.put(missing[0], sent.parts[missing[0]])
    assert [one.name for one in folder.iterdir()] == [sent.name + TREE]
    sent.into(store)
    for name in missing:
        store.put(name, sent.parts[name])
    again = PartsInFiles(folder)
    assert {name: again.get(name) for name in sent.parts} == sent.parts


def test_a_part_that_was_taken_is_not_held_in_memory(folder: Path) -> None:
    store = PartsInFiles(folder)
    Sent("a" * 1000).into(store)
    assert all(one.is_available and one.content == b"" for one in store.store.values())


def test_a_path_in_the_place_of_a_name_reaches_no_file(folder: Path, tmp_path: Path) -> None:
    store, outside = PartsInFiles(folder), tmp_path / "secret"
    outside.write_text("key")
    sent = Sent("a").into(store)
    for name in ("../secret", str(outside), f"{sent.name}/../../secret"):
        store.delete(name)
        assert store.get(name) is None
        with pytest.raises(ValueError, match="Invalid object ID"):
            store.preregister(7, ObjectTree(object_id=name))
        with pytest.raises(ValueError, match="does not match"):
            store.put(name, b"key")
    assert outside.read_text() == "key"
    assert sent.name in store


def test_clearing_leaves_nothing(folder: Path) -> None:
    store = PartsInFiles(folder)
    Sent("a").into(store)
    store.clear()
    assert (len(store), list(folder.iterdir())) == (0, [])


def test_the_superlink_is_given_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_loader, "ObjectStoreFactory", config_loader.ObjectStoreFactory)
    assert keep_parts(folder)
    held = config_loader.ObjectStoreFactory("state.db").store()
    assert isinstance(held, PartsInFiles)


def test_another_flower_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.READ, next(iter(module.READ)), "another")
    before = config_loader.ObjectStoreFactory
    assert not keep_parts(folder)
    assert config_loader.ObjectStoreFactory is before
