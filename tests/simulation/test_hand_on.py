"""The simulation's engine hears of a message when it is stored, and of each once."""

import threading
import time
from queue import Empty, Queue
from types import SimpleNamespace

import pytest

from common import flower_source
from simulation import hand_on as handing_on
from simulation.hand_on import READ, STOP_SECONDS, hand_on, hand_on_at_once


class State:
    """Messages for nodes, as Flower's LinkState in memory keeps them."""

    def __init__(self) -> None:
        self.waiting: dict[int, list[str]] = {1: [], 2: []}
        self.looks = 0
        self._lock = threading.Lock()  # as Flower's own has

    def store_message_ins(self, message: tuple[int, str]) -> str:
        node, text = message
        with self._lock:
            self.waiting[node].append(text)
        return text

    def get_message_ins(self, *, node_id: int, limit: int | None) -> list[str]:
        assert limit is None
        self.looks += 1
        with self._lock:
            found, self.waiting[node_id] = self.waiting[node_id], []
        return found


@pytest.fixture
def engine():
    state, queue, stop = State(), Queue(), threading.Event()
    state.store_message_ins((1, "stored before anyone looked"))
    thread = threading.Thread(target=hand_on, args=(state, queue, {1: 0, 2: 1}, stop))
    thread.start()
    yield SimpleNamespace(state=state, queue=queue, stop=stop, thread=thread)
    stop.set()
    thread.join(10 * STOP_SECONDS)
    assert not thread.is_alive()


def test_what_is_stored_is_handed_on_well_before_flower_would_look(engine):
    assert engine.queue.get(timeout=5) == "stored before anyone looked"
    waits = []
    for number in range(50):
        began = time.perf_counter()
        engine.state.store_message_ins((1 + number % 2, str(number)))
        assert engine.queue.get(timeout=5) == str(number)
        waits.append(time.perf_counter() - began)
    # With a look every 0.1 s most would take longer, one after the other.
    assert sorted(waits)[25] < 0.04


def test_each_message_comes_once_whatever_is_stored_meanwhile(engine):
    def store(first: int) -> None:
        for number in range(first, first + 500):
            engine.state.store_message_ins((1 + number % 2, str(number)))

    threads = [threading.Thread(target=store, args=(500 * k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = [engine.queue.get(timeout=5) for _ in range(1501)]
    with pytest.raises(Empty):
        engine.queue.get(timeout=2 * STOP_SECONDS)
    assert sorted(got[1:], key=int) == [str(number) for number in range(1500)]


def test_nobody_looks_while_nothing_is_stored(engine):
    engine.queue.get(timeout=5)
    time.sleep(STOP_SECONDS)
    before = engine.state.looks
    time.sleep(4 * STOP_SECONDS)
    assert engine.state.looks == before


def test_another_flower_is_left_as_it_is(monkeypatch):
    engine = pytest.importorskip("flwr.server.superlink.fleet.vce.vce_api")

    def before(*_):
        pass

    # A simulation may have run in this process.
    monkeypatch.setattr(engine, "add_messages_to_queue", before)
    monkeypatch.setattr(flower_source, "RELEASE", "1.40.")
    assert not hand_on_at_once()
    assert engine.add_messages_to_queue is before


def test_this_flower_is_the_one_that_was_read():
    place = next(iter(READ))
    engine = pytest.importorskip(place.partition(":")[0])
    if engine.add_messages_to_queue is not hand_on:  # a simulation may have run in this process
        assert not flower_source.changed(READ)


def test_the_engine_takes_ours(monkeypatch):
    engine = pytest.importorskip("flwr.server.superlink.fleet.vce.vce_api")
    monkeypatch.setattr(engine, "add_messages_to_queue", engine.add_messages_to_queue)
    monkeypatch.setattr(handing_on, "READ", {})
    assert hand_on_at_once()
    assert hand_on_at_once(), "a second simulation in one process finds it done"
    assert engine.add_messages_to_queue is hand_on
