"""What the four grades mean, in the words of the service agreement (S3). No contract changes them."""

from collections.abc import Mapping

from shared.documents.fault import Grade

# Each says what the grade *mainly* is: rules propose the grade, a person may change it with a reason.
GRADE_DEFINITIONS: Mapping[Grade, str] = {
    "A": "the product has failed in use; basic functions cannot be realised",
    "B": "the product threatens to fail in use (a potential failure); basic functions may not be realised",
    "C": "a problem in operation that directly affects the service and degrades the system's performance",
    "D": "a failure in use that affects the system's functions and service intermittently or indirectly",
}
