"""How much room Redis must have."""

import pytest

from services.timer.redis_memory import Memory, read_memory

MB = 1_000_000


@pytest.mark.parametrize(
    ("used", "limit", "data", "problem"),
    [
        (600 * MB, 1000 * MB, 590 * MB, None),
        (701 * MB, 1000 * MB, 700 * MB, "70 % of it is used"),
        # Two shards of 280 MB: the larger one may be twice that.
        (600 * MB, 1000 * MB, 560 * MB, "a shard could not be built anew"),
        (600 * MB, 0, 590 * MB, None),  # it does not say
    ],
)
def test_room_is_for_a_shard_beside_what_is_there(
    used: int, limit: int, data: int, problem: str | None
) -> None:
    shards = 2 if problem and "shard" in problem else 24
    found = Memory(used, limit, data).problem(shards)
    assert found == problem or (found and problem and found.startswith(problem))


def test_without_a_limit_of_its_own_redis_has_its_machine() -> None:
    said = {"used_memory": 5, "used_memory_dataset": 3, "total_system_memory": 100}
    assert read_memory({**said, "maxmemory": 0}) == Memory(5, 100, 3)
    assert read_memory({**said, "maxmemory": 50}) == Memory(5, 50, 3)
    assert read_memory({}) == Memory(0, 0, 0)
