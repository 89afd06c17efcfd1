"""The heap of both compiled loops."""

import random

from sim.heap import ENTRY, pop, push, replace

SEED = 4


def test_entries_come_out_in_the_order_of_time_and_then_of_scheduling():
    chance = random.Random(SEED)
    heap, n, waiting = [ENTRY.new() for _ in range(64)], 0, []
    for order in range(3_000):
        if n < len(heap) and (n == 0 or chance.random() < 0.5):
            entry = (chance.randrange(20), order, order)
            push(heap, n, *entry)
            waiting.append(entry)
            n += 1
        else:
            first = heap[0].t_us, heap[0].order, heap[0].place
            assert first == min(waiting), f"seed {SEED}"
            waiting.remove(first)
            if chance.random() < 0.5:
                n = pop(heap, n)
            else:
                entry = (chance.randrange(20), order, order)
                replace(heap, n, *entry)
                waiting.append(entry)
        assert n == len(waiting)
