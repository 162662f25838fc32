"""Any sequence of allocations on two CPUs and frees anywhere, one by one or in bulk, against a dictionary in Python."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from emu.mm import (
    CACHE,
    GFP_KERNEL,
    LIVE,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    OBJECT_STATE,
    PAGE,
    PAYLOAD,
    PG_SLAB,
    address_of,
    alloc_page,
    cache_of,
    kfree,
    kfree_bulk,
    kmalloc,
    page_of,
    page_owner,
    page_state,
    pfn_of,
    slab_flush_cpu,
)
from tests.small_machine import small_machine
from tests.unit.mm.memory import fault_of, free_blocks, ledger

BYTES = (32, 512, 1024)
PROCS = (0, 1, 4)  # two mutators, the reclaim daemon
SEVERAL = st.lists(st.integers(0, 2**16), min_size=1, max_size=24)


class SlabMachine(RuleBasedStateMachine):
    """Each live object carries its number in its first and last word; whoever overlaps or revives it is found."""

    @initialize(min_partial=st.sampled_from([0, 1, 3]))
    def boot(self, min_partial):
        self.seg = small_machine(f"slab.object_bytes={list(BYTES)}", "slab.weights=[1, 1, 1]",
                                 f"slab.min_partial={min_partial}").seg
        self.min_partial = min_partial
        self.records = address_of(alloc_page(self.seg, 0, 0, GFP_KERNEL, MIGRATE_UNMOVABLE))
        self.live = {}
        self.serial = 0

    def marks(self, obj):
        """The words of an object that carry its number."""
        return obj + PAYLOAD, obj + BYTES[self.live[obj][0]] // 8 - 1

    @rule(cpu=st.integers(0, 1), index=st.integers(0, 2), n=st.integers(1, 12))
    def allocate(self, cpu, index, n):
        for _ in range(n):
            obj = kmalloc(self.seg, cpu, cpu, index, GFP_KERNEL)
            assert obj not in self.live
            assert self.seg[obj + OBJECT_STATE] == LIVE
            assert (obj - address_of(pfn_of(obj))) % (BYTES[index] // 8) == 0
            self.serial += 1
            self.live[obj] = index, self.serial
            for word in self.marks(obj):
                assert self.seg[word] == 0 or word == obj + PAYLOAD
                self.seg[word] = self.serial

    def bury(self, pick):
        """Choose a live object, look at it a last time, and forget it."""
        obj = sorted(self.live)[pick % len(self.live)]
        assert {self.seg[word] for word in self.marks(obj)} == {self.live[obj][1]}
        del self.live[obj]
        return obj

    @precondition(lambda self: self.live)
    @rule(me=st.sampled_from(PROCS), pick=st.integers(0, 2**16))
    def free(self, me, pick):
        kfree(self.seg, me, min(me, 2), self.bury(pick))

    @precondition(lambda self: self.live)
    @rule(me=st.sampled_from(PROCS), picks=SEVERAL)
    def free_several_at_once(self, me, picks):
        objects = [self.bury(pick) for pick in picks[: len(self.live)]]
        for i, obj in enumerate(objects):
            self.seg[self.records + i] = obj
        kfree_bulk(self.seg, me, min(me, 2), self.records, len(objects))

    @rule(cpu=st.integers(0, 1), index=st.integers(0, 2))
    def flush(self, cpu, index):
        slab_flush_cpu(self.seg, cpu, cpu, index, cpu)

    @invariant()
    def live_objects_are_whole_and_in_pages_of_their_cache(self):
        for obj, (index, serial) in self.live.items():
            assert {self.seg[word] for word in self.marks(obj)} == {serial}
            assert self.seg[obj + OBJECT_STATE] == LIVE
            pfn = pfn_of(obj)
            assert (page_state(self.seg, pfn), page_owner(self.seg, pfn)) == (PG_SLAB, index)
        assert fault_of(self.seg)[0] == 0

    @invariant()
    def partial_lists_are_sound(self):
        for index in range(len(BYTES)):
            self.partial(index)

    def partial(self, index):
        """Pages of a cache's partial list: linked both ways, counted, each with a free object."""
        cache = cache_of(self.seg, index)
        pages, before, pfn = [], NO_PAGE, self.seg[cache + CACHE.partial]
        while pfn != NO_PAGE:
            page = page_of(self.seg, pfn)
            assert self.seg[page + PAGE.prev] == before
            assert self.seg[page + PAGE.counters] >> 16 & 0xFFFF != 0, "a full page on the partial list"
            assert (page_state(self.seg, pfn), page_owner(self.seg, pfn)) == (PG_SLAB, index)
            pages.append(pfn)
            before, pfn = pfn, self.seg[page + PAGE.next]
        assert len(pages) == self.seg[cache + CACHE.nr_partial]
        return pages

    def teardown(self):
        if not hasattr(self, "seg"):
            return
        while self.live:
            self.free(4, 0)
        for cpu in range(2):
            for index in range(len(BYTES)):
                slab_flush_cpu(self.seg, cpu, cpu, index, cpu)
        kept = sum(len(self.partial(index)) for index in range(len(BYTES)))
        book = ledger(self.seg)
        assert book.get("slab", 0) == kept
        assert kept <= len(BYTES) * self.min_partial
        assert "objects" not in book
        assert book["taken"] == 1
        free_blocks(self.seg)
        assert fault_of(self.seg)[0] == 0


def test_every_object_is_somebodys_alone_and_every_page_comes_back():
    run_state_machine_as_test(SlabMachine, settings=settings(stateful_step_count=40))
