"""The memory budget: claims, turns, giving way, and nothing kept of who is gone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.fetch.budget import SMALL, MemoryBudget

MIB = 1024 * 1024


class FakeHolder:
    """Holds what a test says; gives way by telling the budget, as an assembly does."""

    def __init__(self, budget: MemoryBudget, complete: float = 0.0) -> None:
        self.budget = budget
        self.complete = complete
        self.held = 0
        self.paused = False
        self.calls: list[str] = []

    def completeness(self) -> float:
        return self.complete

    def grow(self, size: int) -> None:
        self.held += size
        self.budget.changed(self, size)

    def claim(self, size: int) -> bool:
        self.paused = not self.budget.claim(self, size)
        return not self.paused

    def give_way(self) -> None:
        self.calls.append("give_way")
        self.paused = True
        held, self.held = self.held, 0
        if held:
            self.budget.changed(self, -held)

    def resume(self) -> None:
        self.calls.append("resume")
        self.paused = False

    def end(self) -> None:
        held, self.held = self.held, 0
        if held:
            self.budget.changed(self, -held)
        self.budget.forget(self)


class BudgetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.budget = MemoryBudget(100 * MIB)

    def holder(self, complete: float = 0.0) -> FakeHolder:
        return FakeHolder(self.budget, complete)

    def test_what_is_held(self) -> None:
        first, second = self.holder(), self.holder()
        first.grow(10)
        second.grow(20)
        first.grow(-5)
        self.assertEqual(self.budget.held, 25)
        first.end()
        self.assertEqual(self.budget.held, 20)
        self.budget.forget(second)
        self.assertEqual((self.budget.held, self.budget._holders), (0, {}))

    def test_claims_up_to_the_limit(self) -> None:
        self.assertEqual([self.holder().claim(30 * MIB) for _ in range(5)], [True, True, True, False, False])

    def test_small_ones_never_wait(self) -> None:
        self.holder().claim(100 * MIB)
        self.assertTrue(self.holder().claim(SMALL))
        self.assertFalse(self.holder().claim(SMALL + 1))

    def test_one_alone_never_waits(self) -> None:
        self.assertTrue(self.holder().claim(1000 * MIB))

    def test_in_their_order_when_there_is_room(self) -> None:
        first = self.holder()
        first.claim(90 * MIB)
        waiting = [self.holder() for _ in range(4)]
        for each in waiting:
            self.assertFalse(each.claim(40 * MIB))
        first.end()
        self.assertEqual([each.calls for each in waiting], [["resume"], ["resume"], [], []])
        waiting[1].end()
        self.assertEqual([each.calls for each in waiting], [["resume"], ["resume"], ["resume"], []])

    def test_one_that_waits_is_gone(self) -> None:
        first = self.holder()
        first.claim(90 * MIB)
        gone, next_one = self.holder(), self.holder()
        gone.claim(40 * MIB)
        next_one.claim(20 * MIB)
        gone.end()
        self.assertEqual(next_one.calls, [])
        first.end()
        self.assertEqual((gone.calls, next_one.calls), ([], ["resume"]))

    def test_the_smallest_size_named_counts(self) -> None:
        """A liar's giant must not hold others up."""
        first = self.holder()
        self.assertTrue(first.claim(90 * MIB))
        second = self.holder()
        self.assertFalse(second.claim(20 * MIB))
        self.assertTrue(first.claim(1 * MIB))
        self.assertTrue(first.claim(95 * MIB))
        self.assertTrue(self.holder().claim(5 * MIB) or second.calls)

    def test_one_that_waits_names_a_smaller_one(self) -> None:
        self.holder().claim(90 * MIB)
        second = self.holder()
        self.assertFalse(second.claim(20 * MIB))
        self.assertFalse(second.claim(50 * MIB))
        self.assertTrue(second.claim(10 * MIB))
        self.assertEqual(self.budget._claimed, 100 * MIB)

    def test_the_least_complete_gives_way(self) -> None:
        oldest, half, little = self.holder(0.0), self.holder(0.5), self.holder(0.1)
        for each in (oldest, half, little):
            each.claim(10 * MIB)
            each.grow(33 * MIB)
        oldest.grow(2 * MIB)
        self.assertEqual((oldest.calls, half.calls, little.calls), ([], [], ["give_way"]))
        self.assertEqual(self.budget.held, 68 * MIB)

    def test_the_oldest_always_goes_on(self) -> None:
        oldest = self.holder(0.0)
        oldest.grow(150 * MIB)
        self.assertEqual(oldest.calls, [])

    def test_who_gave_way_goes_on_when_there_is_room(self) -> None:
        oldest, younger = self.holder(), self.holder()
        oldest.claim(60 * MIB)
        oldest.grow(60 * MIB)
        younger.claim(30 * MIB)
        younger.grow(45 * MIB)
        self.assertEqual(younger.calls, ["give_way"])
        self.assertTrue(younger.paused)
        oldest.end()
        self.assertEqual(younger.calls, ["give_way", "resume"])

    def test_or_when_another_holds_less(self) -> None:
        oldest, younger = self.holder(), self.holder()
        for each, size in ((oldest, 80), (younger, 25)):
            each.claim(10 * MIB)
            each.grow(size * MIB)
        self.assertEqual(younger.calls, ["give_way"])
        oldest.grow(-4 * MIB)
        self.assertEqual(younger.calls, ["give_way"])
        oldest.grow(-4 * MIB)
        self.assertEqual(younger.calls, ["give_way", "resume"])

    def test_not_at_once(self) -> None:
        """What it gave back is not its own room again."""
        oldest, younger = self.holder(), self.holder()
        oldest.grow(40 * MIB)
        younger.grow(61 * MIB)
        self.assertEqual(younger.calls[0], "give_way")
        self.assertLessEqual(younger.calls.count("resume"), 1)


steps = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(("claim", "grow", "end")), st.integers(1, 60)), max_size=60
)


class InvariantTests(SynchronousTestCase):
    @settings(deadline=None, derandomize=True, max_examples=100)
    @given(steps)
    def test_nobody_waits_for_nobody(self, script: list[tuple[int, str, int]]) -> None:
        budget = MemoryBudget(100 * MIB)
        holders = [FakeHolder(budget, number / 10) for number in range(5)]
        for number, what, size in script:
            holder = holders[number]
            if what == "end":
                holder.end()
                holders[number] = FakeHolder(budget, number / 10)
            elif what == "claim":
                holder.claim(size * MIB)
            elif not holder.paused:
                holder.grow(size * MIB)
            self.assertEqual(budget.held, sum(each.held for each in holders))
            # Those above the limit are the oldest alone, or one block's worth.
            if budget._waiting:
                self.assertTrue(budget._claims or budget._holders, "all wait and nobody goes on")
            self.assertEqual({each for each in holders if each.paused}, set(budget._waiting))
        for holder in holders:
            holder.end()
        self.assertEqual((budget.held, budget._claimed), (0, 0))
        self.assertEqual((budget._holders, budget._claims, budget._waiting), ({}, {}, {}))
