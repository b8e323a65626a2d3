"""The one loop in which all four services read Kafka (docs/architecture.md, "The one loop").

topics.py      names, settings and checks of the topics
partition.py   which partition a site belongs to
clients.py     aiokafka's clients with our settings, and its errors turned into ours
reader.py      a group-less reader of chosen partitions from chosen offsets
producer.py    the fenced transactional producer, and the plain idempotent one
group.py       the consumer group used for assignment only; one task for each partition it gives us
exactly_once.py  the task that publishes what comes of its input exactly once (docs/exactly-once.md)
pace.py        when that task commits
"""
