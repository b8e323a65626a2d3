"""What many conditions have in common is in memory once."""

from services.classifier.partition import Partition
from services.classifier.state import condition_key, decode_condition, encode, share
from tests.unit.alarms import CATALOGUE, HEARTBEAT, AtOnce, condition_of, edge

REPORT = edge(1, level="fault", model="XR-2000", firmware="4.1.7", boot="b", seq=1)


def test_sharing_texts_changes_nothing_that_is_said() -> None:
    for report in (REPORT, edge(2)):
        read = decode_condition(encode(condition_of(report)))
        assert share(read) == read


def test_conditions_that_are_restored_share_their_texts() -> None:
    partition = Partition(AtOnce(CATALOGUE, {}, HEARTBEAT))
    for component in ("bms/rack-1", "bms/rack-2"):
        report = edge(1, component=component, level="fault", model="XR-2000", boot="b", seq=1)
        condition = condition_of(report)
        partition.restore(condition_key(condition.key), encode(condition))
    one, other = partition.conditions
    assert one is not other
    for text in ("emu_id", "site_id", "code", "grade_reason", "kind", "level", "model", "boot"):
        assert getattr(one, text) is getattr(other, text)
    assert one.source.topic is other.source.topic
