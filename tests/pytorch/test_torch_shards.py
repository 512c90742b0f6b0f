# SPDX-License-Identifier: MIT
"""Which elements a process holds: every layout of torch's own, in real process groups.

One interpreter runs all layouts, in groups of 2, 3 and 4 processes, and reports; the tests look at
the reports.  Element numbers that torch itself has put into place say which elements those are,
and the whole tensor that torch gathers says whether fills of parts are the whole.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import process_groups
import pytest
from flat_layouts import FLAT_LAYOUTS
from process_groups import Task
from shard_layouts import LAYOUTS
from shard_refusals import REFUSALS
from shard_reports import DTYPES
from shard_survivors import DEAD

pytestmark = pytest.mark.frameworks
pytest.importorskip("torch")

CASES = [
    (name, size, dtype)
    for name, layout in LAYOUTS.items()
    for size in layout.sizes
    for dtype in DTYPES
]
FLAT_CASES = [
    (name, size, dtype)
    for name, (_, sizes) in FLAT_LAYOUTS.items()
    for size in sizes
    for dtype in DTYPES
]


LAYOUT_TASKS = {size: Task("shard_reports", "examine_all", size) for size in (2, 3, 4)}
FLAT_TASKS = {size: Task("flat_layouts", "examine_flat", size) for size in (2, 3, 4)}
REFUSAL_TASK = Task("shard_refusals", "refuse_all", 2)
LAST_TASK = Task("shard_survivors", "last", 4)


@pytest.fixture(scope="session")
def found():
    """task -> rank -> what it returned."""
    tasks = [*LAYOUT_TASKS.values(), *FLAT_TASKS.values(), REFUSAL_TASK, LAST_TASK]
    return process_groups.run(tasks, timeout=240)


@pytest.fixture(scope="session")
def reports(found):
    """size -> rank -> (layout, dtype) -> name of tensor -> report."""
    return {size: found[task] for size, task in LAYOUT_TASKS.items()}


@pytest.fixture(scope="session")
def flat_reports(found):
    return {size: found[task] for size, task in FLAT_TASKS.items()}


@pytest.fixture(scope="session")
def refusals(found):
    return found[REFUSAL_TASK]


def check(ranks):
    """All that holds for every tensor of a layout, given rank -> name -> report."""
    errors = [
        report["error"] for reports in ranks for report in reports.values() if "error" in report
    ]
    assert errors == []
    assert len({tuple(reports) for reports in ranks}) == 1
    for name in ranks[0]:
        held = [reports[name] for reports in ranks]
        for report in held:
            assert report["numbers"], f"{name}: other elements than torch put there"
            assert report.get("count", True), f"{name}: parts have more or fewer elements than it"
            assert report.get("covers", True), f"{name}: elements were left unset"
            assert report.get("equal", report["regions"] == []), f"{name}: not the whole tensor"
        for one, other in itertools.combinations(held, 2):
            same_part = one["regions"] == other["regions"]
            if min(map(count_of, (one, other))) >= 8:  # fewer values may be equal by chance
                assert (one["digest"] == other["digest"]) == same_part, name


def count_of(report):
    """Elements that a process holds."""
    total = 0
    for region in report["regions"]:
        product = region[2] - region[1] if region[:1] == ("range",) else 1
        for start, stop in () if region[:1] == ("range",) else region:
            product *= stop - start
        total += product
    return total


@pytest.mark.parametrize(("name", "size", "dtype"), CASES)
def test_every_layout_is_the_whole_tensor(reports, name, size, dtype):
    check([reports[size][rank][name, dtype] for rank in range(size)])


@pytest.mark.parametrize(("name", "size", "dtype"), FLAT_CASES)
def test_flat_parameters_are_the_whole_tensors(flat_reports, name, size, dtype):
    ranks = [flat_reports[size][rank][name, dtype] for rank in range(size)]
    assert len(ranks[0]) in (4, 6)
    check(ranks)


def test_shards_tile_the_tensor(reports):
    """Every element belongs to one process, and one in an uneven mesh may hold none."""
    ranks = [reports[4][rank]["fsdp2", "float32"] for rank in range(4)]
    assert sum(count_of(reports["0.weight"]) for reports in ranks) == 7 * 10
    assert [count_of(reports["3.weight"]) for reports in ranks] == [4, 4, 4, 0]
    assert [len(reports["3.weight"]["regions"]) for reports in ranks] == [1, 1, 1, 0]


def test_a_process_outside_the_mesh_holds_nothing(reports):
    found = [reports[3][rank]["submesh", "float32"]["rows"] for rank in range(3)]
    assert [report["regions"] for report in found] == [[((0, 4), (0, 3))], [((4, 7), (0, 3))], []]
    assert "equal" not in found[2]


def test_neighbouring_runs_are_one_part(reports):
    """Two chunks that touch, of a strided shard on a mesh dimension of one process."""
    held = reports[4][0]["three_dimensions", "float32"]
    name = next(n for n in held if n.startswith("(1, 2, 2)") and "_Strided" in n)
    assert len(held[name]["regions"]) == 1
    strided = reports[4][0]["strided_alone", "float32"]
    assert strided["24 3 0"]["regions"] == [((0, 2), (0, 6)), ((8, 10), (0, 6)), ((16, 18), (0, 6))]
    assert strided["24 1 0"]["regions"] == [((0, 6), (0, 6))]


def test_replicas_are_equal(reports):
    """HSDP: processes of one replica differ, and the replicas do not."""
    digests = [reports[4][rank]["hsdp", "float32"]["weight"]["digest"] for rank in range(4)]
    assert digests[:2] == digests[2:]
    assert digests[0] != digests[1]


def test_values_last_when_the_model_is_used(found):
    """FSDP2 pads its shards at the first forward pass, and FSDP1 gathers and frees its own."""
    for kept in found[LAST_TASK].values():
        assert len(kept) == 12
        assert all(kept.values()), kept


WORDS = {
    "partial": (
        "ValueError",
        "placement Partial(sum) on mesh dimension 'tp': its elements are a reduction",
    ),
    "short_local_tensor": ("ValueError", "give DTensor.from_local the chunk of torch.chunk"),
    "unknown_placement": (
        "ValueError",
        "placement Ragged() on mesh dimension 0, which does not say",
    ),
    "wrapped_local_tensor": (
        "TypeError",
        "out is a TwoTensor, which keeps its elements in other",
    ),
    "flat_piece": ("ValueError", "fill the wrapped module, outside summon_full_params"),
    "fill_of_a_flat_piece": ("ValueError", "), but is in a flat parameter of"),
    "flat_parameter": ("ValueError", "is in a flat parameter of FullyShardedDataParallel"),
    "gathered_flat_parameter": (
        "ValueError",
        "it is gathered, and what is written now may be lost",
    ),
    "flat_parameter_of_dtensors": ("ValueError", "was a DTensor of shape"),
    "flat_parameter_with_gaps": (
        "ValueError",
        "'weight' was a tensor of strides (8, 2) of shape (6, 4)",
    ),
    "gathered_parameters": ("ValueError", "gathered by fully_shard in the module itself: what is"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_does_not_say_what_it_holds_is_refused(refusals, name):
    kind, words = WORDS[name]
    for rank in range(2):
        found, text = refusals[rank][name]
        assert found == kind
        assert words in text


def test_a_short_shard_is_described(refusals):
    assert (
        "of shape (7, 4) with placements (Shard(dim=0),), so the process at (0,) of a mesh of "
        "shape (2,) holds a shard of shape (4, 4), but its local tensor has shape (2, 4)"
    ) in refusals[0]["short_local_tensor"][1]


def test_a_killed_process_stops_no_other():
    """One of three is killed after its first tensor; the others fill all eight of theirs."""
    task = Task("shard_survivors", "survive", 3)
    found = process_groups.run([task], timeout=60, killed=[DEAD])[task]
    assert set(found) == {0, 1, 2} - {DEAD}
    for report in found.values():
        assert report["right"] == [True] * 8
        assert report["seconds"] < 20


@pytest.mark.slow
def test_a_shard_needs_its_own_memory():
    """Of a tensor of 1 GiB, each of four processes needs 256 MiB and little more."""
    task = Task("shard_survivors", "footprint", 4)
    for report in process_groups.run([task], timeout=120)[task].values():
        assert report["shard"] == 2**28
        assert 2**28 * 0.99 < report["grown"] < 2**28 + 2**24
        assert report["set"]


@pytest.mark.slow
def test_a_group_that_hangs_leaves_no_process():
    with pytest.raises(process_groups.GroupError, match="not finished after 30 s") as caught:
        process_groups.run([Task("shard_survivors", "hang", 2)], timeout=30)
    sleepers = re.findall(r"process (\d+) sleeps", str(caught.value))
    assert len(sleepers) == 2
    for process in sleepers:  # gone, or dead and not yet waited for
        status = Path(f"/proc/{process}/status")
        assert not status.exists() or "State:\tZ" in status.read_text("ascii")
